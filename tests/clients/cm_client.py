"""CM.com's text SDK for Python, unchanged, against a door of CM.com: the simulator's, or this host's entrance."""

import sys

from cm_text.text_client import TextClient

BASE, TOKEN = sys.argv[1], sys.argv[2]

client = TextClient(apikey=TOKEN, gateway=f"{BASE}/v1.0/message")
answer = client.SendSingleMessage(
    message="Votre commande 4821 est prete.", from_="Boulange", to=["0033639981201"], reference="m01JABCDEF"
)
said = answer.json()
assert answer.status_code == 200 and said["errorCode"] == 0, said
assert said["details"] == "Created 1 message(s)" and said["messages"][0]["status"] == "Accepted", said
assert said["messages"][0]["reference"] == "m01JABCDEF" and said["messages"][0]["to"] == "0033639981201", said

client.AddMessage(message="Bonjour", from_="Boulange", to=["0033639981201", "12"])
mixed = client.send()
assert mixed.status_code == 200 and mixed.json()["errorCode"] == 201, mixed.text
assert [one["status"] for one in mixed.json()["messages"]] == ["Accepted", "Rejected"], mixed.text

wrong = TextClient(apikey="00000000-0000-4000-8000-00000000dead", gateway=f"{BASE}/v1.0/message")
refused = wrong.SendSingleMessage(message="Bonjour", from_="Boulange", to=["0033639981201"])
assert refused.status_code == 400 and refused.json()["errorCode"] == 101, refused.text
print("cm (python):", said["details"])
