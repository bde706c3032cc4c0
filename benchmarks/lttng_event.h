/* An LTTng-UST tracepoint with the fields of benchmarks/events.py: an int, a double, a string. */
#undef TRACEPOINT_PROVIDER
#define TRACEPOINT_PROVIDER rchan_bench

#undef TRACEPOINT_INCLUDE
#define TRACEPOINT_INCLUDE "./lttng_event.h"

#if !defined(RCHAN_LTTNG_EVENT_H) || defined(TRACEPOINT_HEADER_MULTI_READ)
#define RCHAN_LTTNG_EVENT_H

#include <lttng/tracepoint.h>

TRACEPOINT_EVENT(rchan_bench, request, TP_ARGS(long, user, double, seconds, const char *, path),
                 TP_FIELDS(ctf_integer(long, user, user) ctf_float(double, seconds, seconds)
                               ctf_string(path, path)))

#endif

#include <lttng/tracepoint-event.h>
