"""Drives the threat-intelligence simulator with the vendor's own SDK and prints what the SDK made of it.

The output is one JSON object, name of the case -> observation; tests/ti_contract.rs says what each must be. Nothing
is judged here, so that an SDK that changes its mind shows up as a difference and not as a crash.
"""

import argparse
import json
import os
import pathlib
import urllib.request

from ReversingLabs.SDK.ticloud import CustomerUsage, FileReputation

MALICIOUS, SUSPICIOUS, TRUSTED, DOUBTFUL, DETECTED, UNKNOWN, BARE = "abcdef1"
ERROR_STATUSES = (400, 401, 403, 404, 405, 406, 408, 409, 413, 422, 429, 500, 502, 503, 504)
CONTROL_TIMEOUT_S = 10

arguments = argparse.ArgumentParser()
for option in ("host", "control", "ca", "stranger-ca", "user", "forbidden-user", "password-file"):
    arguments.add_argument("--" + option, required=True)
arguments = arguments.parse_args()
password = pathlib.Path(arguments.password_file).read_text().strip()
seen = {}


def sha256(digit):
    return digit * 64


def numbered(count):
    return [format(number, "064x") for number in range(count)]


def client(kind=FileReputation, **changes):
    settings = {
        "host": arguments.host,
        "username": arguments.user,
        "password": password,
        "verify": arguments.ca,
    }
    return kind(**{**settings, **changes})


def control(method, path, body=None):
    """Talks to the simulator's side door, past any proxy."""
    request = urllib.request.Request(
        arguments.control + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=CONTROL_TIMEOUT_S) as answer:
        content = answer.read()
    return json.loads(content) if content else None


def read(response):
    observation = {
        "http": response.status_code,
        "headers": {name.lower(): value for name, value in response.headers.items()},
    }
    try:
        observation["body"] = response.json()
    except ValueError as error:
        observation["not_json"] = type(error).__name__
        observation["text"] = response.text
    return observation


def observe(name, call):
    """Keeps what came back: an HTTP answer, or the exception and the answer it carries."""
    assert name not in seen, name
    try:
        observation = read(call())
    except Exception as error:  # The class is the observation.
        observation = {"exception": type(error).__name__}
        response = getattr(error, "response_object", None)
        if response is not None:
            observation.update(read(response))
    seen[name] = observation


def ask(name, hashes, **parameters):
    observe(name, lambda: client().get_file_reputation(hashes, **parameters))


def ask_with_fault(name, hashes, **fault):
    control("PUT", "/fault", {"times": 1, **fault})
    ask(name, hashes)


def single_questions():
    for name, digit in (
        ("malicious", MALICIOUS),
        ("suspicious", SUSPICIOUS),
        ("trusted", TRUSTED),
        ("doubtful", DOUBTFUL),
        ("detected", DETECTED),
        ("unknown", UNKNOWN),
        ("bare", BARE),
    ):
        ask("single_" + name, sha256(digit))
    ask("single_sha1", MALICIOUS * 40)
    ask("single_md5", MALICIOUS * 32)
    ask("single_upper_case", sha256(MALICIOUS).upper())
    ask("single_not_extended", sha256(TRUSTED), extended_results=False)
    ask("single_without_hashes", sha256(TRUSTED), show_hashes_in_results=False)
    seen["request_single"] = control("GET", "/stats")["last_request"]


def bulk_questions():
    ask("bulk_all", [sha256(digit) for digit in (UNKNOWN, MALICIOUS, SUSPICIOUS, TRUSTED, DOUBTFUL)])
    seen["request_bulk"] = control("GET", "/stats")["last_request"]
    ask("bulk_of_one", [sha256(MALICIOUS)])
    ask("bulk_upper_case", [sha256(MALICIOUS).upper()])
    ask("bulk_not_extended", [sha256(TRUSTED)], extended_results=False, show_hashes_in_results=False)
    # The SDK takes the type of the first for all and sends the rest as it is.
    ask("bulk_mixed", [MALICIOUS * 40, sha256(SUSPICIOUS)])
    control("DELETE", "/stats")
    ask("bulk_100", numbered(100))
    ask("bulk_101", numbered(101))
    seen["stats_after_bulk"] = control("GET", "/stats")
    control("PUT", "/limit", {"over_limit_status": 400})
    ask("bulk_250_when_400", numbered(250))
    control("PUT", "/limit", {"quota_daily": 100})
    ask("quota_used_up", [sha256(TRUSTED)])
    control("PUT", "/limit", {})
    ask("quota_lifted", [sha256(TRUSTED)])


def statuses():
    for status in ERROR_STATUSES:
        ask_with_fault(f"status_{status}", sha256(TRUSTED), kind="status", status=status)
    ask_with_fault("status_429_with_wait", sha256(TRUSTED), kind="status", status=429, retry_after_s=7)
    ask("after_the_fault", sha256(TRUSTED))
    control("PUT", "/fault", {"kind": "status", "status": 404, "times": 1})
    observe("none_for_404", lambda: client(allow_none_return=True).get_file_reputation(sha256(TRUSTED)))


def accounts():
    for name, changes in (
        ("wrong_password", {"password": "wrong"}),
        ("wrong_user", {"username": "u/nobody/here"}),
        ("forbidden_user", {"username": arguments.forbidden_user}),
    ):
        observe(name, lambda changes=changes: client(**changes).get_file_reputation(sha256(TRUSTED)))


def faults():
    everything = [sha256(digit) for digit in (MALICIOUS, SUSPICIOUS, TRUSTED)]
    for kind in ("shuffle", "missing", "unknown_status", "extra_fields", "drop_optional", "upper", "lower_status"):
        ask_with_fault("fault_" + kind, everything, kind=kind)
    ask_with_fault("fault_html", everything, kind="html")
    ask_with_fault("fault_cut", everything, kind="cut")
    ask_with_fault("fault_slow", everything, kind="slow", delay_ms=200)


def turning_verdict():
    digit = "9"
    for name, status in (("turn_before", "SUSPICIOUS"), ("turn_after", "MALICIOUS")):
        control("PUT", "/records", {"sha256": sha256(digit), "status": status})
        ask(name, [sha256(digit)])
    control("DELETE", "/records/" + sha256(digit))
    ask("turn_removed", [sha256(digit)])


def refusals_of_the_sdk():
    control("DELETE", "/stats")
    for name, value in (
        ("non_hex", "z" * 64),
        ("sha512", "a" * 128),
        ("other_length", "a" * 63),
        ("empty_list", []),
        ("non_string", 7),
        ("non_string_item", [7]),
    ):
        ask("refused_" + name, value)
    observe("refused_plain_http", lambda: client(host="http://" + arguments.host).get_file_reputation(sha256(TRUSTED)))
    seen["stats_after_refusals"] = control("GET", "/stats")


def hosts_and_certificates():
    def asked(**changes):
        return lambda: client(**changes).get_file_reputation(sha256(TRUSTED))

    observe("host_with_scheme_and_slash", asked(host=f"https://{arguments.host}/"))
    observe("host_by_name", asked(host="localhost:" + arguments.host.rsplit(":", 1)[1]))
    observe("wrong_ca", asked(verify=arguments.stranger_ca))
    observe("public_ca", asked(verify=True))
    observe("unverified", asked(verify=False))
    # The reason why the environment is cleaned for this script: it wins over the argument.
    os.environ["REQUESTS_CA_BUNDLE"] = arguments.stranger_ca
    observe("environment_wins", asked())
    del os.environ["REQUESTS_CA_BUNDLE"]
    observe("other_product", lambda: client(CustomerUsage).quota_limits())


for part in (
    single_questions,
    bulk_questions,
    statuses,
    accounts,
    faults,
    turning_verdict,
    refusals_of_the_sdk,
    hosts_and_certificates,
):
    part()
print(json.dumps(seen))
