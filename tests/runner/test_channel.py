"""Messages over a pipe into which anybody may write: whole ones arrive, others are noticed."""

import multiprocessing
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lebench.runner.channel import DamagedError, Receiver, Sender


@pytest.fixture
def pipe():
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        yield ours, theirs


def test_messages_arrive_whole_and_in_order(pipe):
    receiver, sender = Receiver(pipe[0]), Sender(pipe[1])
    sent = [b"", b"one", bytes(range(256)) * 200]
    for content in sent:
        sender.send(content)
    assert list(receiver.messages()) == sent
    assert list(receiver.messages()) == []
    pipe[1].close()
    assert list(receiver.messages()) == []
    assert receiver.closed


def test_half_a_message_is_not_waited_for(pipe):
    receiver, sender = Receiver(pipe[0]), Sender(pipe[1])
    sender.send(b"a message")
    whole = os.read(pipe[0].fileno(), 1000)
    os.write(pipe[1].fileno(), whole[:10])
    assert list(receiver.messages()) == []
    os.write(pipe[1].fileno(), whole[10:])
    assert list(receiver.messages()) == [b"a message"]


@given(st.binary(min_size=1, max_size=60), st.integers(0, 20))
def test_foreign_bytes_are_no_messages(foreign, place):
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        receiver, sender = Receiver(ours), Sender(theirs)
        sender.send(b"before")
        sender.send(b"a message")
        whole = os.read(ours.fileno(), 1000)
        second = whole[len(whole) // 2 :]
        os.write(theirs.fileno(), whole[: len(whole) // 2] + second[:place] + foreign + second[place:])
        got = []
        try:
            got += list(receiver.messages())
            sender.send(b"after")
            got += list(receiver.messages())
        except DamagedError:
            pass
        # Bytes may stand between two messages without harm only if they are none.
        assert all(content in (b"before", b"a message", b"after") for content in got)


def test_forked_process_says_nothing_in_the_name_of_its_parent(pipe):
    receiver, sender = Receiver(pipe[0]), Sender(pipe[1])
    child = os.fork()
    if child == 0:
        try:
            sender.send(b"from the child")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    sender.send(b"from the parent")
    assert list(receiver.messages()) == [b"from the parent"]
