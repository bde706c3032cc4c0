"""Large records: frames of video, one in each sub-buffer, of which a viewer sees the newest.

    python video_frames.py

A record can be as long as a sub-buffer, so `subbuf_size` is the size of a frame. A camera does not
wait for slow viewers: in overwrite mode the oldest frame goes, and the viewer is told how many it
missed.
"""

import multiprocessing
import zlib

import rchan

WIDTH, HEIGHT = 640, 480
FRAME = 4 + WIDTH * HEIGHT * 3  # its number, and the pixels
FRAMES = 100


def camera(channel: rchan.Channel) -> None:
    """In a child: frames as fast as they can be made."""
    for number in range(FRAMES):
        with channel.reserve(FRAME) as slot:  # filled in place, seen when it is whole
            slot[:4] = number.to_bytes(4, "little")
            slot[4:] = bytes([number]) * (FRAME - 4)
    channel.finalize()  # finishes the last frame, too


def main() -> None:
    """Look at what the camera sends."""
    rchan.remove("camera", missing_ok=True)  # of a run that was killed
    with rchan.create(
        "camera", subbuf_size=FRAME, n_subbufs=4, n_buffers=1, overwrite=True
    ) as channel:
        child = multiprocessing.Process(target=camera, args=(channel,))
        child.start()
        shown = missed = 0
        last = -1
        for sub in channel.reader(timeout=30):
            with sub.data as frame:  # a copy that was checked: never half of one, half of another
                last = int.from_bytes(frame[:4], "little")
                assert frame[4] == frame[-1] == last
                checksum = zlib.crc32(frame)
            shown += 1
            missed += sub.lost.overwritten.records
        child.join()
        print(f"the last frame was number {last}, checksum {checksum:08x}")
        print(f"{shown} shown + {missed} missed = {shown + missed} taken")


if __name__ == "__main__":
    main()
