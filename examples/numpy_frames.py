"""Arrays between processes: numpy fills shared memory in place, and reads it in place.

    pip install numpy
    python numpy_frames.py

`channel.reserve(n)` gives n bytes of the channel as writable memory; when its block ends, the
record is there, whole. If the block raises, it never was.
"""

import multiprocessing

import numpy as np

import rchan

SHAPE, TYPE = (64, 3), np.dtype("f4")  # 64 samples of an accelerometer
SIZE = TYPE.itemsize * SHAPE[0] * SHAPE[1]
FRAMES = 1000


def produce(channel: rchan.Channel) -> None:
    """In a child: the channel came by its name."""
    random = np.random.default_rng(1)
    for number in range(FRAMES):
        with channel.reserve(SIZE) as slot:
            frame = np.frombuffer(memoryview(slot), TYPE).reshape(SHAPE)
            random.random(out=frame.reshape(-1), dtype=TYPE)
            frame += number
            del frame  # no view may outlive the block: the memory belongs to the channel
    channel.finalize()  # nobody writes any more: the reader's loop ends at the last record


def main() -> None:
    """Produce in one process, take the mean in another."""
    rchan.remove("frames", missing_ok=True)  # of a run that was killed
    with rchan.create("frames", subbuf_size=64 * SIZE, n_subbufs=32, n_buffers=1) as channel:
        producer = multiprocessing.Process(target=produce, args=(channel,))
        producer.start()
        frames, total = 0, 0.0
        for sub in channel.reader(timeout=30):
            with sub.data as data:
                array = np.frombuffer(data, TYPE).reshape(-1, *SHAPE)  # no copy
                frames += len(array)
                total += float(array.sum(dtype="f8"))
                del array
            if sub.lost:
                print("lost:", sub.lost)
        producer.join()
        print(f"{frames} frames, mean {total / frames / SHAPE[0] / SHAPE[1]:.1f}")


if __name__ == "__main__":
    main()
