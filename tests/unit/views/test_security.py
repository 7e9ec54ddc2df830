"""What the page may load and speak to."""

from relay.views.security import ADMIN_POLICY, DEFAULT_POLICY, page_policy


def directives(policy: str) -> dict[str, list[str]]:
    return {name: values for name, *values in (part.split() for part in policy.split(";"))}


def test_the_page_runs_its_own_scripts_and_styles_alone() -> None:
    policy = directives(page_policy("wss://relay.example", "relay.example", has_images=False))

    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["img-src"] == ["'self'"]
    assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]


def test_the_page_speaks_to_the_relay_at_its_address_and_at_the_one_it_was_opened_by() -> None:
    policy = directives(page_policy("wss://relay.example:444/", "10.0.0.1:8000", has_images=False))

    assert policy["connect-src"] == ["'self'", "wss://relay.example:444", "ws://10.0.0.1:8000", "wss://10.0.0.1:8000"]


def test_images_of_other_sites_are_shown_only_when_the_operator_has_set_some() -> None:
    assert directives(page_policy("ws://a", "a", has_images=True))["img-src"] == ["'self'", "https:"]


def test_only_the_admin_may_evaluate_expressions() -> None:
    assert "'unsafe-eval'" in directives(ADMIN_POLICY)["script-src"]
    assert "unsafe" not in DEFAULT_POLICY
