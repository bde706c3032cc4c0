"""A web application as people write them, for gunicorn: it knows nothing of rchan's clients.

Its `/work/N` logs, writes a request event of its own, and answers what it has done: what is
answered must be in the trace.
"""

import logging
import os

from flask import Flask, jsonify

import rchan

logging.basicConfig(level=logging.INFO)
app = Flask(__name__)
log = logging.getLogger("shop.orders")
trace = rchan.Tracer(os.environ["RCHAN_CHANNEL"], os.environ["RCHAN_PARENT"])
request = trace.event("request", number=rchan.u32, path=rchan.string, seconds=rchan.f64)


@app.get("/work/<int:number>")
def work(number):
    log.info("order %d of %s, %.2f EUR", number, "someone", number / 4)
    stored = request(number, f"/work/{number}", 0.5)
    return jsonify(number=number, pid=os.getpid(), stored=stored)
