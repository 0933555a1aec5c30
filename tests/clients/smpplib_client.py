"""smpplib, unchanged, against the simulated SMSC: binds, a long message in parts, its receipts, what a telephone writes, refusals."""

import json
import sys
import urllib.request

import smpplib.client
import smpplib.consts
import smpplib.exceptions
import smpplib.gsm

BASE, ADDRESS = sys.argv[1], sys.argv[2]
HOST, PORT = ADDRESS.rsplit(":", 1)
SYSTEM_ID, PASSWORD, NUMBER = "simulated", "smsc-pw1", "33639981201"


def ask(path, body):
    request = urllib.request.Request(BASE + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=30))


def connected():
    client = smpplib.client.Client(HOST, int(PORT), timeout=30, allow_unknown_opt_params=True)
    client.connect()
    return client


wrong = connected()
try:
    wrong.bind_transceiver(system_id=SYSTEM_ID, password="another")
    raise SystemExit("a wrong password was taken")
except smpplib.exceptions.PDUError as refused:
    assert refused.args[1] == smpplib.consts.SMPP_ESME_RINVPASWD, refused
wrong.disconnect()

ids, receipts, written = [], [], []


def delivered(pdu):
    if pdu.esm_class & 0x04:
        receipts.append((pdu.receipted_message_id.decode().strip("\0"), pdu.message_state))
        assert b"stat:DELIVRD" in pdu.short_message, pdu.short_message
    else:
        written.append(pdu.short_message.decode("ascii"))


client = connected()
client.set_message_sent_handler(lambda pdu: ids.append(pdu.message_id.decode().strip("\0")))
client.set_message_received_handler(delivered)
client.bind_transceiver(system_id=SYSTEM_ID, password=PASSWORD)
text = "Votre commande est prête. " * 10
parts, coding, esm_class = smpplib.gsm.make_parts(text)
assert len(parts) > 1
for part in parts:
    client.send_message(
        source_addr_ton=smpplib.consts.SMPP_TON_ALNUM, source_addr="Boulange",
        dest_addr_ton=smpplib.consts.SMPP_TON_INTL, destination_addr=NUMBER,
        short_message=part, data_coding=coding, esm_class=esm_class, registered_delivery=True,
    )
while len(receipts) < len(parts):
    client.read_once()
assert sorted(ids) == sorted(id for id, _ in receipts), (ids, receipts)
thread = json.load(urllib.request.urlopen(f"{BASE}/sim/phones/+{NUMBER}/thread", timeout=30))
assert thread["sms"][-1]["content"]["text"] == text, thread
ask(f"/sim/phones/+{NUMBER}/write", {"channel": "sms", "provider": "smpp", "text": "Merci"})
while not written:
    client.read_once()
assert written == ["Merci"], written
client.unbind()
client.disconnect()
print("smpplib:", len(parts), "parts,", len(receipts), "receipts")
