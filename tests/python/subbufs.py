"""Sub-buffers with a number in each, of channels whose sub-buffers take 32 bytes."""


def fill(channel, numbers, cpu=0):
    """One sub-buffer each, the last one unfinished: 30 bytes of 32."""
    for number in numbers:
        channel.write(b"%030d" % number, cpu)


def numbers_of(subs):
    return [int(bytes(sub)) for sub in subs]
