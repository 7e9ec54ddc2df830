"""A write-policy plug-in as strfry's documentation describes it: a line in, a line out. What it does to an event is in
the event's content.
"""

import json
import os
import sys
import time

held = []
for line in sys.stdin:
    request = json.loads(line)
    if request["type"] != "new":
        print("unexpected request type", file=sys.stderr)
        continue
    event = request["event"]
    answer = {"id": event["id"], "action": "accept"}
    word, _, rest = event["content"].partition(" ")
    if word == "reject":
        answer = {"id": event["id"], "action": "reject", "msg": rest}
    elif word == "shadow":
        answer["action"] = "shadowReject"
    elif word == "die":
        os._exit(3)
    elif word == "hang":
        time.sleep(600)
    elif word == "garbage":
        print("this is no JSON\n[]\n{}\n" + json.dumps({"id": event["id"], "action": "perhaps"}), flush=True)
    elif word == "tell":
        del request["event"]
        answer = {"id": event["id"], "action": "reject", "msg": json.dumps(request)}
    elif word == "hold":  # answered after the next one
        held.append(answer)
        continue
    elif word == "log":
        print("from the plug-in:", rest, file=sys.stderr, flush=True)
    print(json.dumps(answer), flush=True)
    while held:
        print(json.dumps(held.pop()), flush=True)
