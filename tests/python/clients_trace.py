"""What clients wrote into a channel, decoded, with the labels of constants."""

import event_decoder


def logged(channel):
    """(name, fields) of all events in a channel."""
    labels = {
        line["name"]: {
            name: {number: label for label, number in kind["labels"].items()}
            for name, kind in line["fields"]
            if isinstance(kind, dict) and "labels" in kind
        }
        for line in event_decoder.event_types(channel)
    }
    found = []
    for event in event_decoder.snapshot(channel):
        named = labels[event.name]
        fields = {
            name: named[name][value] if name in named else value
            for name, value in event.fields.items()
        }
        found.append((event.name, fields, event))
    return found
