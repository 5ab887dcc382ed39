"""Events reach whoever listens, and whoever asked to stop is heard."""

from __future__ import annotations

import contextvars
import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import Stopped
from striate.progress import Event, Terminal, check_stop, finishing, listen, report, stoppable, terminal, track


def test_track_yields_everything_and_says_so():
    heard: list[Event] = []
    with listen(heard.append):
        assert list(track("ab", "letters")) == ["a", "b"]
    assert heard == [Event("letters", 0, 2), Event("letters", 1, 2), Event("letters", 2, 2)]
    report(Event("nobody listens", 1, 2))
    assert len(heard) == 3


def test_unknown_and_wrong_totals_end_with_done_of_done():
    heard: list[Event] = []
    with listen(heard.append):
        list(track(iter("ab"), "letters"))
        list(track(iter("ab"), "letters", total=3))
    assert [(event.done, event.total) for event in heard] == [
        *((0, None), (1, None), (2, None), (2, 2)),
        *((0, 3), (1, 3), (2, 3), (2, 2)),
    ]


@given(st.lists(st.integers()))
def test_done_never_falls_and_reaches_the_total(items):
    heard: list[Event] = []
    with listen(heard.append):
        assert list(track(items, "numbers")) == items
    assert [event.done for event in heard] == list(range(len(items) + 1))
    assert heard[-1].done == heard[-1].total


def test_nested_listeners_all_hear_and_leave_after_an_error():
    outer: list[Event] = []
    inner: list[Event] = []

    def fail() -> None:
        with listen(inner.append):
            report(Event("one", 0, 1))
            raise KeyError

    with listen(outer.append):
        with pytest.raises(KeyError):
            fail()
        report(Event("two", 0, 1))
    assert [event.task for event in outer] == ["one", "two"]
    assert [event.task for event in inner] == ["one"]


def test_a_picture_so_far_travels_along():
    heard: list[Event] = []
    with listen(heard.append):
        report(Event("synthesis", 1, 2, note="octave 1", picture=[[0]]))
    assert heard[0].picture == [[0]]


def test_stop_from_another_thread_ends_the_next_step():
    begun, asked = threading.Event(), threading.Event()
    seen: list[int] = []
    with stoppable() as stop:

        def press() -> None:
            begun.wait(5)
            stop.stop()
            asked.set()

        def count() -> None:
            for number in track(range(10), "counting"):
                seen.append(number)
                if number == 2:
                    begun.set()
                    asked.wait(5)

        presser = threading.Thread(target=press)
        presser.start()
        with pytest.raises(Stopped, match="Stopped during counting, as asked"):
            count()
        presser.join()
        assert stop.stopped
    assert seen == [0, 1, 2]
    check_stop()  # outside of the block nobody asked


def test_an_outer_stop_is_heard_inside_and_an_inner_one_not_outside():
    with stoppable() as outer:
        with stoppable() as inner:
            inner.stop()
            with pytest.raises(Stopped, match=r"Stopped, as asked\. What was finished before is kept\."):
                check_stop()
        check_stop()
        outer.stop()
        with stoppable(), pytest.raises(Stopped):
            list(track([], "nothing"))


def test_a_stop_after_the_last_step_is_heard_too():
    with stoppable() as stop:
        steps = track([1], "one")
        assert next(steps) == 1
        stop.stop()
        with pytest.raises(Stopped):
            next(steps)


def test_threads_hear_when_they_are_given_the_context():
    heard: list[Event] = []
    with listen(heard.append), stoppable() as stop:
        stop.stop()
        failures: list[BaseException] = []

        def work() -> None:
            try:
                report(Event("here", 1, 1))
                check_stop()
            except Stopped as stopped:
                failures.append(stopped)

        context = contextvars.copy_context()
        for target in (work, lambda: context.run(work)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert [event.task for event in heard] == ["here"]  # once: only with the context
    assert len(failures) == 1


class Screen(io.StringIO):
    """A terminal that remembers everything written to it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_drawn_where_there_is_no_terminal():
    stream = io.StringIO()
    with listen(terminal(stream)):
        for _ in track(range(3), "steps"):
            pass
    assert stream.getvalue() == ""
    assert isinstance(terminal(Screen()), Terminal)


def test_nothing_is_drawn_for_what_takes_less_than_a_second():
    screen, clock = Screen(), Clock()
    with listen(Terminal(screen, clock=clock)):
        for _ in track(range(9), "steps"):
            clock.now += 0.1
    assert screen.getvalue() == ""


def test_a_bar_is_drawn_after_a_second_and_wiped_away():
    screen, clock = Screen(), Clock()
    with listen(Terminal(screen, clock=clock)):
        for _ in track(range(4), "integrated gradients"):
            clock.now += 30
    frames = screen.getvalue().split("\r")[1:]
    assert frames[0] == "integrated gradients  ━━━━━                 1/4  1 min 30 s left\x1b[K"
    assert frames[2] == "integrated gradients  ━━━━━━━━━━━━━━━       3/4  30 s left\x1b[K"
    assert frames[-1] == "\x1b[K"
    assert screen.getvalue().count("\x1b[K") == 4


def test_fast_steps_are_drawn_ten_times_a_second_at_most():
    screen, clock = Screen(), Clock()
    with listen(Terminal(screen, clock=clock)):
        for _ in track(range(3000), "steps"):
            clock.now += 0.001
    assert 15 <= screen.getvalue().count("steps") <= 21


def test_the_bar_goes_away_after_an_error():
    screen, clock = Screen(), Clock()

    def fail() -> None:
        with listen(Terminal(screen, clock=clock)):
            for _ in track(range(4), "steps"):
                clock.now += 2
                if clock.now > 4:
                    raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert screen.getvalue().endswith("\r\x1b[K")


def test_tasks_within_tasks_share_one_line():
    screen, clock = Screen(), Clock()
    with listen(Terminal(screen, clock=clock)):
        for _ in track(range(2), "lenses"):
            for _ in track(iter(range(3)), "occlusion"):
                clock.now += 5000
    frames = screen.getvalue().split("\r")[1:]
    assert frames[1].startswith("lenses  ")
    assert "0/2  occlusion 2" in frames[1]
    # The first of two lenses took 15,000 s, and 5,000 s of the second are over: 10,000 s
    assert any("1/2  2 h 46 min left  occlusion 1" in frame for frame in frames)
    assert all(frame.startswith(("lenses", "\x1b[K")) for frame in frames)


def test_terminals_without_these_letters_and_closed_ones():
    screen, clock = Screen(), Clock()
    screen.encoding = "ascii"
    bar = Terminal(screen, clock=clock)
    bar(Event("steps", 0, None))
    clock.now = 9
    bar(Event("steps", 7, None, note="a\nnote"))
    assert screen.getvalue() == "\rsteps  7  9 s  a note\x1b[K"
    clock.now = 19
    screen.close()
    bar(Event("steps", 8, 20))
    bar.close()


def test_long_lines_are_cut_to_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    screen, clock = Screen(), Clock()
    bar = Terminal(screen, patience=0, clock=clock)
    bar(Event("a task with quite a long name", 1, 2))
    assert len(screen.getvalue()) == 1 + 29 + len("\x1b[K")


def test_what_is_finishing_is_not_stopped():
    with stoppable() as stop:
        stop.stop()
        with finishing():
            check_stop()
            assert list(track([1, 2], "saving")) == [1, 2]
        with pytest.raises(Stopped):
            check_stop()
