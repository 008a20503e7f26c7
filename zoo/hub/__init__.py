"""The Hugging Face Hub, asked politely.

reach        is it there?  fetches by other libraries (timm, datasets) fail fast and with advice
client       its client with time limits, which sends the token only where nobody reads along
pace         answers that trickle
answers      what the Hub or the network says, in the user's words
repository   what a repository holds, and one commit on top of exactly that
"""

from zoo.hub.answers import explained, refusal
from zoo.hub.client import api, downloaded, patience, patient
from zoo.hub.reach import go_offline, hub, reachable

__all__ = [
    "api",
    "downloaded",
    "explained",
    "go_offline",
    "hub",
    "patience",
    "patient",
    "reachable",
    "refusal",
]
