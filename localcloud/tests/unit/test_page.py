"""The read-only page: what it reads from the groups, what it shows, and that input is escaped."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from localcloud.autoscaling.groups import Event
from localcloud.clock import Clock
from localcloud.page import history
from localcloud.page.data import WINDOW_SECONDS
from localcloud.testing import Cloud
from unit.resources import described, make_group, make_template

from localcloud import fleet, page

NOW = 1_800_000_000.0
SUBNET = fleet.Subnet("subnet-1", "us-east-1a")
TEMPLATE = fleet.Template("lt-1", "workers", "3")
SETTINGS = fleet.Settings(TEMPLATE, (SUBNET,), 1, 9, 2)
DRAIN = fleet.Hook("drain", fleet.TERMINATING, 300)
HOSTILE = "<script>alert('x')</script>\"'&"
#: Elements without an end tag.
VOID = {"meta", "link", "br", "rect", "line", "path"}


class Reader(HTMLParser):
    """A parsed page: its elements and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._in: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._in.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._in):
            self.words += data.split()

    @property
    def text(self) -> str:
        """The visible text, with single blanks."""
        return " ".join(self.words)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every such element."""
        return [attributes for name, attributes in self.elements if name == tag]


def instance(number: int, state: str = "InService", **changes: Any) -> fleet.Instance:
    """An instance that was launched a minute ago."""
    return fleet.Instance(
        f"i-{number:017x}", SUBNET, TEMPLATE, "t3.medium", "ami-1", NOW - 60, "a-1", state=state, **changes
    )


def group_data(*instances: fleet.Instance, **changes: Any) -> page.GroupData:
    """A group with these instances."""
    return replace(page.GroupData("fleet", "us-east-1", SETTINGS, "3", NOW - 60, instances=instances), **changes)


def drawn(*groups_data: page.GroupData, **changes: Any) -> Reader:
    """The parsed page of these groups."""
    return Reader(page.html(page.PageData(NOW, "123456789012", 1.0, groups_data, **changes)))


def waiting(number: int, heartbeat_left: float, whole_left: float) -> fleet.Instance:
    """An instance that drains."""
    wait = fleet.Wait(DRAIN, f"token-{number}", NOW + heartbeat_left, NOW + whole_left)
    return instance(number, "Terminating:Wait", waits=(wait,))


# --- contents ------------------------------------------------------------------------------------------


def test_an_empty_cloud_says_what_to_run() -> None:
    assert "ansible-playbook site.yml -i local" in drawn().text


def test_sizes_and_states_are_summarized_in_words() -> None:
    states = ["InService", "InService", "Pending:Wait", "Terminating:Wait", "Standby", "Terminating:Retained"]
    text = drawn(group_data(*(instance(n, state) for n, state in enumerate(states)))).text
    for words in ("2 Desired 1 to 9", "2 In service", "1 Launching", "1 Terminating", "1 Standby", "1 Retained"):
        assert words in text


def test_standby_and_retained_are_drawn_apart() -> None:
    text = drawn(group_data(instance(1), instance(2, "Standby"), instance(3, "Terminating:Retained"))).text
    together, apart = text.split("Not counted: Standby and Retained")
    assert instance(1).id in together
    assert instance(1).id not in apart
    assert all(instance(n).id in apart and instance(n).id not in together for n in (2, 3))


def test_an_instances_protection_health_version_and_image_are_shown() -> None:
    old = replace(TEMPLATE, version="2")
    text = drawn(
        group_data(
            instance(1, protected=True), instance(2, healthy=False, running=False), replace(instance(3), template=old)
        )
    ).text
    assert "Protected version 3 ami-1" in text
    assert "Unhealthy stopped in EC2 not protected version 3 ami-1" in text
    assert "version 2 not the group's" in text


def test_an_instance_of_the_refreshs_version_differs_from_another() -> None:
    new = replace(TEMPLATE, version="4")
    refresh = fleet.Refresh(
        "r-1", fleet.Preferences(90, warmup=30), new, new, frozenset({"i-1"}), 2, NOW - 10, "InProgress", left=1
    )
    text = drawn(
        group_data(replace(instance(1), template=new), refresh=replace(refresh, percentage=50, started_at=NOW - 9))
    ).text
    assert "version 4 the refresh's" in text
    assert "50 % to version 4, 1 of 2 to update" in text
    assert "InProgress" in text


def test_a_finished_refresh_has_a_status_and_an_end() -> None:
    back = fleet.Rollback("Manual rollback was initiated by user request.", NOW - 20, 40, 3, 2)
    over = fleet.Refresh(
        "r-1",
        fleet.Preferences(90),
        TEMPLATE,
        TEMPLATE,
        frozenset(),
        2,
        NOW - 60,
        "RollbackSuccessful",
        ended_at=NOW - 5,
    )
    text = drawn(group_data(refresh=replace(over, rollback=back))).text
    assert f"ended {fleet.stamp(NOW - 5)}" in text
    assert "Rolled back from 40 %: Manual rollback" in text


def test_both_times_of_a_hook_count_down_and_the_first_to_run_out_comes_first() -> None:
    reader = drawn(group_data(waiting(1, 299.6, 29_000), waiting(2, 45, 28_000)))
    assert "0:45 of 5:00" in reader.text
    assert "7:46:40 of 8:20:00" in reader.text
    assert reader.text.index(instance(2).id) < reader.text.index(instance(1).id)
    bars = [rect["width"] for rect in reader.of("rect") if rect.get("class") in ("heartbeat", "low", "limit")]
    assert bars == ["15.0%", "93.33%", "99.87%", "96.67%"]


def test_a_wait_that_has_run_out_is_an_empty_bar() -> None:
    reader = drawn(group_data(waiting(1, -3, 100)))
    assert "0:00 of 5:00" in reader.text
    assert {"class": "low", "width": "0.0%", "height": "100%"} in reader.of("rect")


def test_activities_have_awss_descriptions_and_causes() -> None:
    failed = fleet.Activity(
        "a-1", "Launching a new EC2 instance", "At noon a user asked.", NOW, "{}", "Failed", 100, NOW, "No room."
    )
    text = drawn(group_data(activities=(failed,), activities_before=7)).text
    assert "Failed Launching a new EC2 instance No room. At noon a user asked." in text
    assert "and 7 before" in text


def test_a_suspended_process_and_a_deleted_group_are_not_hidden() -> None:
    text = drawn(group_data(suspended=("AZRebalance", "Launch")), deleted=("old-fleet",)).text
    assert "Suspended: AZRebalance, Launch" in text
    assert "Deleted: old-fleet" in text


# --- timelines ----------------------------------------------------------------------------------------------


def events(*changes: tuple[float, str, str, str]) -> list[Event]:
    """Events as (seconds ago, instance, before, after)."""
    return [Event(n, NOW - ago, "fleet", id, before, after) for n, (ago, id, before, after) in enumerate(changes, 1)]


def test_an_instances_history_is_its_events_joined() -> None:
    recorded = events(
        (50, "i-1", "", "Pending"), (50, "i-1", "Pending", "Pending:Wait"), (20, "i-1", "Pending:Wait", "InService")
    )
    spans = history.spans(recorded, {"i-1": ("InService", NOW - 50)}, NOW - 60, NOW)
    assert spans == {
        "i-1": [history.Span("Pending:Wait", NOW - 50, NOW - 20), history.Span("InService", NOW - 20, NOW)]
    }


def test_an_instance_without_events_was_always_as_now_and_a_terminated_one_ends_with_its_last_event() -> None:
    recorded = events(
        (30, "i-2", "InService", "Terminating:Wait"),
        (10, "i-2", "Terminating:Wait", "Terminated"),
        (10, "i-2", "Terminated", ""),
    )
    spans = history.spans(recorded, {"i-1": ("InService", NOW - 900)}, NOW - 60, NOW)
    assert spans["i-1"] == [history.Span("InService", NOW - 60, NOW)]
    assert spans["i-2"] == [
        history.Span("InService", NOW - 60, NOW - 30),
        history.Span("Terminating:Wait", NOW - 30, NOW - 10),
    ]


def test_the_number_of_instances_over_time_is_counted_from_their_spans() -> None:
    instances = [
        [history.Span("Pending:Wait", 0, 50), history.Span("InService", 50, 100)],
        [history.Span("InService", 25, 75)],
    ]
    counts = history.counts(instances, 0, 100, 4)
    assert (counts["launching"], counts["serving"]) == ([1, 1, 0, 0], [0, 1, 2, 1])


@pytest.mark.parametrize(("ago", "window"), [(0, 60), (59, 60), (61, 120), (500, 600), (100_000, 600)])
def test_a_timeline_is_a_round_window_that_holds_every_event_that_is_kept(ago: float, window: float) -> None:
    assert NOW - history.window_start(NOW, NOW - WINDOW_SECONDS, events((ago, "i-1", "", "Pending"))) == window


def test_every_state_that_a_group_knows_has_its_place_or_is_outside() -> None:
    known = {
        *fleet.COUNTED,
        "Standby",
        "EnteringStandby",
        "Terminating",
        "Terminating:Wait",
        "Terminating:Proceed",
        "Terminating:Retained",
    }
    assert {history.family(state) for state in known} == set(history.FAMILIES)
    assert {history.family(state) for state in ("", "Terminated", "Detaching", "Detached")} == {""}


# --- safety -------------------------------------------------------------------------------------------------


def test_hostile_names_tags_and_reasons_are_shown_as_text() -> None:
    hook = replace(DRAIN, name=HOSTILE)
    activity = fleet.Activity("a", HOSTILE, HOSTILE, NOW, "{}", HOSTILE, 0, None, HOSTILE)
    guest = replace(
        waiting(1, 1, 1), image_id=HOSTILE, template=replace(TEMPLATE, version=HOSTILE), instance_type=HOSTILE
    )
    settings = replace(SETTINGS, template=replace(TEMPLATE, name=HOSTILE))
    victim = group_data(
        guest, name=HOSTILE, settings=settings, hooks=(hook,), activities=(activity,), tags=((HOSTILE, HOSTILE),)
    )
    reader = drawn(victim, deleted=(HOSTILE,))
    assert len(reader.of("script")) == 1
    assert reader.text.count(HOSTILE) >= 12
    assert [tag for tag, attributes in reader.elements if any(name.startswith("on") for name in attributes)] == []


def test_nothing_is_asked_of_anybody_else_and_only_the_pages_own_style_and_script_count() -> None:
    text = page.html(page.PageData(NOW, "1", 1.0, (group_data(instance(1)),)))
    assert "http://" not in text
    assert "https://" not in text
    assert [attributes["href"] for attributes in Reader(text).of("link")] == ["data:,"]
    policy = dict(page.HEADERS)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_without_javascript_the_page_asks_for_itself_again() -> None:
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page.html(page.PageData(NOW, "1", 1.0))


def test_tables_have_captions_and_headings_and_pictures_have_words() -> None:
    reader = drawn(group_data(waiting(1, 10, 10), instance(2, "Standby")))
    assert len(reader.of("table")) == len(reader.of("caption")) == 3
    assert {th.get("scope") for th in reader.of("th")} == {"col", "row"}
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in reader.of("svg"))


# --- size ---------------------------------------------------------------------------------------------------


def test_a_thousand_instances_are_summarized_and_drawn_in_under_a_second() -> None:
    instances = [instance(n) for n in range(980)] + [waiting(n, n - 900, 30_000) for n in range(980, 1000)]
    recorded = events(*((59 - n / 20, i.id, "", "InService") for n, i in enumerate(instances)))
    data = page.PageData(
        NOW,
        "1",
        1.0,
        (group_data(*instances, settings=replace(SETTINGS, max_size=2000, desired=980), events=tuple(recorded)),),
    )
    began = time.perf_counter()
    text = page.html(data)
    assert time.perf_counter() - began < 1
    assert len(text) < 150_000
    reader = Reader(text)
    assert "980 In service" in reader.text
    assert "and 988 more; instances that are not healthy or not in service come first" in reader.text
    assert "and 8 more, none of them sooner" in reader.text
    assert {span["class"] for span in reader.of("span") if "badge" in (span.get("class") or "")} == {"badge draining"}


# --- requests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "page_"),
    [
        ({"PATH_INFO": "/localcloud/page"}, True),
        ({"PATH_INFO": "/localcloud/page", "REQUEST_METHOD": "POST"}, False),
        ({"HTTP_ACCEPT": "text/html,application/xhtml+xml,*/*;q=0.8"}, True),
        ({"HTTP_ACCEPT": "text/html", "REQUEST_METHOD": "HEAD"}, True),
        ({"HTTP_ACCEPT": "*/*"}, False),
        ({}, False),
        ({"HTTP_ACCEPT": "text/html", "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 ..."}, False),
        ({"HTTP_ACCEPT": "text/html", "QUERY_STRING": "Action=DescribeVpcs"}, False),
        ({"HTTP_ACCEPT": "text/html", "PATH_INFO": "/bucket"}, False),
    ],
    ids=str,
)
def test_browsers_get_the_page_and_awss_clients_do_not(request_: dict[str, str], page_: bool) -> None:
    assert page.is_requested({"REQUEST_METHOD": "GET", "PATH_INFO": "/", **request_}) is page_


def test_the_server_gives_a_browser_the_page_and_a_client_what_it_asked_for(cloud: Cloud) -> None:
    make_group(cloud, DesiredCapacity=1)
    browser = urllib.request.Request(cloud.url, headers={"Accept": "text/html,*/*;q=0.8"})
    with urllib.request.urlopen(browser) as answer:
        text = answer.read().decode()
        assert [answer.headers[name] for name, _ in page.HEADERS] == [value for _, value in page.HEADERS]
    assert "1 In service" in Reader(text).text
    with urllib.request.urlopen(urllib.request.Request(f"{cloud.url}/localcloud/page", method="HEAD")) as answer:
        assert (answer.status, answer.read()) == (200, b"")
    assert cloud.client("sts").get_caller_identity()["Account"] == "123456789012"


def read_page(cloud: Cloud, account: str, clock: Clock | None = None) -> page.PageData:
    """What the server shows on its page."""
    with cloud.world.entered():
        return page.collect(cloud.world.all_groups(), account, clock or cloud.world.clock)


def test_the_picture_is_read_off_living_groups_and_draws(
    cloud: Cloud, ec2: Any, clock: Callable[[float], None]
) -> None:
    make_template(ec2)
    autoscaling = make_group(
        cloud,
        template={"LaunchTemplateName": "workers", "Version": "$Latest"},
        DesiredCapacity=2,
        Tags=[{"Key": "Project", "Value": "wekruit", "PropagateAtLaunch": True}],
    )
    drain = {
        "LifecycleHookName": "drain",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": 300,
    }
    autoscaling.put_lifecycle_hook(AutoScalingGroupName="fleet", **drain)
    first = described(autoscaling)["Instances"][0]["InstanceId"]
    clock(30)
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=first, ShouldDecrementDesiredCapacity=True)
    clock(100)
    make_group(cloud, "gone")
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName="gone")
    data = read_page(cloud, "123456789012")
    (seen,) = data.groups
    assert (seen.name, seen.version, seen.tags, data.deleted) == ("fleet", "1", (("Project", "wekruit"),), ("gone",))
    assert [i.state for i in seen.instances] == ["Terminating:Wait", "InService"]
    assert [(e.instance_id, e.after) for e in seen.events][-1] == (first, "Terminating:Wait")
    text = Reader(page.html(data)).text
    assert "3:20 of 5:00" in text
    assert "MidLifecycleAction 60 %" in text
    ec2.delete_launch_template(LaunchTemplateName="workers")
    assert read_page(cloud, "1").groups[0].version == "$Latest"


def test_old_events_and_those_of_other_groups_are_left_out(cloud: Cloud, clock: Callable[[float], None]) -> None:
    make_group(cloud, "old", DesiredCapacity=1)
    clock(WINDOW_SECONDS + 1)
    make_group(cloud, "new", DesiredCapacity=1)
    new, old = read_page(cloud, "1").groups
    assert (old.events, {event.group for event in new.events}) == ((), {"new"})
    fast = Clock()
    fast.run_at(10)
    assert read_page(cloud, "1", fast).groups[1].events
