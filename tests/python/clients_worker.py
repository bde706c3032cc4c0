"""What child processes of the tests of clients do; it sets nothing up."""

import logging
import threading
import warnings

log = logging.getLogger("app.work")


def work(number):
    log.info("work %d in a child", number)


def work_structlog(number):
    import structlog  # noqa: PLC0415

    structlog.get_logger().info("in a child", number=number)


def fail(number):
    log.info("fail %d", number)
    warnings.simplefilter("default")
    warnings.warn("careful", stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0, name="dying")
    thread.start()
    thread.join()
    raise ValueError(f"child {number}")
