"""The page is the specification: a program written from it alone, in another language, computes the same keys."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from llm_cache.core.model import Request
from llm_cache.core.policy import Policy
from llm_cache.core.signature import HEADERS, loads, sign, sign_value
from llm_cache.providers.address import CREDENTIALS
from llm_cache.providers.compatible import VENDORS
from llm_cache.providers.format import OUTSIDE
from llm_cache.providers.own import OWN
from llm_cache.providers.registry import endpoint_named
from tests.core.making import endpoint
from tests.key.requests import (
    CHAT,
    OURS,
    adversarial,
    described,
    endpoint_at,
    lines,
    needs_traffic,
    request_of,
    signature_of,
)

HERE = Path(__file__).parent
PAGE = (HERE.parent.parent / "docs" / "reference" / "key.md").read_text(encoding="utf-8")
VECTORS = (HERE.parent / "golden" / "keys.json").read_text(encoding="utf-8")
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="there is no node here to run the other implementation")


def computed(requests: list[dict]) -> list[tuple[str, str]]:
    """Key and document of each request, by the other implementation."""
    done = subprocess.run(
        [NODE, str(HERE / "spec.mjs")], input=lines(requests), capture_output=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stderr.decode()
    found = [tuple(line.split("\t", 1)) for line in done.stdout.decode().split("\n")[:-1]]
    assert len(found) == len(requests)
    return found


@needs_node
def test_the_vectors_hold_in_the_other_implementation_too():
    vectors = json.loads(VECTORS)
    assert len(vectors) >= 104
    for vector, found in zip(vectors, computed(vectors), strict=True):
        assert found == (vector["key"], vector["document"]), vector["name"]


@needs_node
@needs_traffic
def test_recorded_requests_have_one_key_in_both():
    requests = [request_of(exchange) for exchange in OURS]
    for exchange, request, found in zip(OURS, requests, computed([described(each) for each in requests]), strict=True):
        signature = signature_of(request)
        assert found == (signature.key, signature.document.decode()), exchange.name
    print(f"\n{len(requests)} recorded requests have one key in both implementations")


@needs_node
def test_bodies_that_are_hard_to_read_have_one_key_in_both():
    requests = [Request("POST", CHAT, (), body) for body in adversarial(600)]
    by_bytes = 0
    for request, found in zip(requests, computed([described(each) for each in requests]), strict=True):
        signature = signature_of(request)
        assert found == (signature.key, signature.document.decode()), request.body[:300]
        by_bytes += b'"body_sha256"' in signature.document[:20]
    print(f"\n{len(requests)} bodies have one key in both implementations, {by_bytes} of them by their bytes")
    assert by_bytes >= 200
    assert len(requests) - by_bytes >= 400


ENDINGS = (
    "chat/completions",
    "responses",
    "completions",
    "embeddings",
    "moderations",
    "audio/speech",
    *("images/edits", "images/variations", "audio/transcriptions", "audio/translations", "responses/input_tokens"),
    "images/generations",
    "messages",
    "messages/count_tokens",
    "complete",
    *("fim/completions", "agents/completions", "ocr", "classifications", "chat/classifications", "chat/moderations"),
    "conversations",
    *("multimodalembeddings", "contextualizedembeddings"),
    *("rerank", "v2/rerank", "v1/chat", "v2/chat", "v1/generate", "v1/embed", "v2/embed", "v1/classify"),
    *("v1/summarize", "v1/tokenize", "v1/detokenize", "api/chat", "api/generate", "api/embed", "api/embeddings"),
    *(f"models/m-1.5:{method}" for method in ("generateContent", "streamGenerateContent", "embedContent")),
    *(f"v1beta/tunedModels/m%3ax:{method}" for method in ("batchEmbedContents", "countTokens", "predict")),
    "v1beta1/projects/p/locations/l/publishers/google/models/m:computeTokens",
    "v1/projects/p/locations/l/publishers/anthropic/models/claude@1:streamRawPredict",
    *(f"model/us.a%3a0/{way}" for way in ("converse", "converse-stream", "invoke", "invoke-with-response-stream")),
    "model/arn:aws:bedrock:r:1:inference-profile%2Fp/invoke",
    *("hf-inference/models/owner/m", "hf-inference/models/m", "hf-inference/models/o/m/pipeline/feature-extraction"),
    "hf-inference/models/pipeline/pipeline/x",
    "publishers/mistralai/models/m:rawPredict",
    "v1beta/projects/p/locations/l/models/m:generateContent",
    "locations/l/publishers/google/models/m:predict",
)
BEFORE = (
    *(
        "",
        "/v1",
        "/v1/v1",
        "/v2",
        "/v1/v2",
        "/v1beta/openai",
        "/openai",
        "/openai/v1",
        "/api/v1",
        "/v11",
        "/xv1",
        "/V1",
    ),
    *("/openai/deployments/d", "/gw/openai/deployments/d%2dx", "/openai/deployments/d/v1", "/openai/deployments"),
    *(
        "/openai/deployments/a/openai/deployments/b",
        "/v1/openai/deployments/d",
        "/openai/deployments//",
        "//",
        "/%76%31",
    ),
    *(
        "/a%2fb",
        "/a%zz%",
        "/%E4%b8%AD",
        "/~a!$&'()*+,;=:@-._",
        "/%7Ea%21",
        '/a b"<>^`{|}',
        "/..",
        "/./v1",
        "/compatibility",
    ),
)
SERVERS = (
    *("https://api.openai.com", "http://api.openai.com", "https://api.openai.com:8443", "HTTPS://API.OPENAI.COM:443"),
    *(
        "https://u:p@api.openai.com:0443",
        "https://api.openai.com.",
        "http://[::1]:8000",
        "http://[FE80::1]",
        "http://h:",
    ),
    *("http://h:0", "https://a@b@h:1", "https://api.groq.com", "https://xn--bcher-kva.example", "http://1.2.3.4:80"),
    *(f"https://{host}{prefix}" for host, prefix in OWN),
)
QUERIES = (
    *(
        "",
        "?",
        "?a",
        "?a=",
        "?=a",
        "?a=1&b=2",
        "?b=2&a=1",
        "?a=2&a=1",
        "?&&a=1&",
        "?a=1;b=2",
        "?a==1",
        "?a=b=c",
        "?a+b=+",
    ),
    *("?%61=%2B%20", "?a=%FF", "?a=%FF+x&a=+", "?a=%", "?a=%4", "?a=%zz", "?%C3%A9=1&z=2&%F0%9F%98%80=3&%EF%BF%BF=4"),
    *("?key=s&a=1", "?KEY=s", "?k%65y=s", "?api-key=s&api_key=s&apikey=s&access_token=s&token=s&subscription-key=s"),
    *("?%E2%84%AAey=s", "?keys=1", "?a=1#f", "#f?a=1", "?a=1?b=2", "?a[]=1", "?a=%00", "?a=%ef%bb%bfx"),
)


@needs_node
def test_addresses_have_one_key_in_both():
    urls = [f"{SERVERS[0]}/v1/{ending}{query}" for ending in ENDINGS for query in QUERIES]
    urls += [
        f"{server}{before}/{ending}"
        for server in SERVERS
        for before in BEFORE
        for ending in ("chat/completions", "messages")
    ]
    urls += [f"{SERVERS[0]}{before}/{ending}" for before in BEFORE for ending in ENDINGS]
    requests = [Request("POST", url, (), b"{}") for url in urls]
    for request, found in zip(requests, computed([described(each) for each in requests]), strict=True):
        assert found == (signature_of(request).key, signature_of(request).document.decode()), request.url
    print(f"\n{len(urls)} addresses have one key in both implementations")


FORM = (
    b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n'
    b"Content-Type: audio/mpeg\r\n\r\n\x00\xff\r\n\r\n"
    b"--B--\r\n"
)


@needs_node
def test_forms_have_one_key_in_both():
    url = "https://api.openai.com/v1/audio/transcriptions"
    kind = "multipart/form-data; boundary=B"
    changes = [
        (b"", b""),
        (b"whisper-1", b""),
        (b'"model"', b"model"),
        (b'"model"', b'"user"'),
        (b'"model"\r\n\r\nwhisper-1', b'"stream"\r\n\r\nfalse'),
        (b'"model"\r\n\r\nwhisper-1', b'"stream"\r\n\r\ntrue'),
        (b'"a.mp3"', b'"caf\xc3\xa9 \\"x\\" %22;y.mp3"'),
        (b"form-data; name", b"FORM-DATA ;NAME"),
        (b"Content-Type: audio/mpeg\r\n", b"Content-Length: 4\r\n"),
        (b"--B--\r\n", b"--B--"),
        (b'"file"', b'"model"'),
    ]
    bodies = [(FORM.replace(*change), kind) for change in changes]
    bodies += [(FORM.replace(b"--B", b"--long--one"), 'Multipart/Form-Data ; boundary="long--one"'), (FORM, "")]
    requests = [Request("POST", url, (("content-type", told),) if told else (), body) for body, told in bodies]
    keys = []
    for request, found in zip(requests, computed([described(each) for each in requests]), strict=True):
        signature = signature_of(request)
        assert found == (signature.key, signature.document.decode()), request.body
        keys.append(signature.key)
    assert keys[0] == keys[-1] == keys[-2] == keys[2] == keys[7] == keys[9]
    assert keys[3] == keys[4]
    assert len(set(keys)) == len(keys) - 6


@needs_node
def test_headers_have_one_key_in_both():
    values = ["", " ", "a", " a ", "\ta\t", "a,b", "a , b", ",", "a,,b", "b,a", "\xa0a\xa0", "\x0ba", "é", '"a,b"', "A"]
    names = [*sorted(HEADERS), "authorization", "x-api-key", "openai-beta2", "anthropic-dangerous"]
    sent = [((name, value),) for name in names for value in values]
    sent += [((name, one), ("x", "y"), (name, other)) for name in names[:2] for one in values for other in values[:8]]
    requests = [Request("POST", CHAT, headers, b"{}") for headers in sent]
    for request, found in zip(requests, computed([described(each) for each in requests]), strict=True):
        assert found == (signature_of(request).key, signature_of(request).document.decode()), request.headers


VALUE_ENDPOINTS = (
    *(
        "/v1/chat/completions",
        "chat/completions",
        "//chat/completions//",
        "/v1/chat/completions?x=1",
        "/v1/messages",
        "messages/",
    ),
    *(
        "https://h/v1/messages?a=1",
        "http://h",
        "https://h/v1/messages//",
        "ftp://h/v1/messages",
        "/threads/t/messages",
        "/v1/complete",
    ),
    *(
        "/openai/deployments/d/chat/completions",
        "/v1/ch%61t/completions",
        "",
        "/",
        "?",
        "/v1/generate",
        "/v1/messages/count_tokens",
    ),
    *("/api/chat", "api/generate/", "https://h/api/embed", "/v1beta/models/m:generateContent", "/v2/chat", "rerank"),
)


@needs_node
def test_values_have_one_key_in_both():
    marked = [{"role": "user", "content": [{"type": "text", "text": "é😀", "cache_control": {}}], "cache_control": 1}]
    data = {
        "messages": marked,
        "user": "u",
        "stream": False,
        "x": 0.1,
        "y": [1e-7, 1.0, 1e22, 10**45, -0.0],
        "own": None,
    }
    values = [data, {**data, "stream": True}, {**data, "stream": None}, [data], "x", None, 1.5, {"a": "\ud800"}]
    policies = [{}, {"ignore_fields": ["own", "stream", "messages"]}, {"namespace": "né", "scope": "s", "sample": 7}]
    asked = [
        {"kind": "value", "provider": "p", "model": "m", "endpoint": path, "request_data": value, "policy": policy}
        for path in VALUE_ENDPOINTS
        for value in values
        for policy in policies
    ]
    for each, found in zip(asked, computed(asked), strict=True):
        rules = endpoint_named("p", each["endpoint"])
        where = endpoint(provider="p", path=each["endpoint"], outside=rules.outside, unmark=rules.unmark)
        where = replace(where, stream_counts=rules.stream_counts)
        policy = Policy(**{**each["policy"], "ignore_fields": frozenset(each["policy"].get("ignore_fields", ()))})
        try:
            ours = sign_value(where, "m", each["request_data"], policy)
            assert found == (ours.key, ours.document.decode()), each
        except ValueError:
            assert found == ("error",), each
    print(f"\n{len(asked)} values have one key in both implementations")


@needs_node
def test_marks_are_removed_from_the_same_places_in_both():
    kinds = ("tool_result", "mcp_tool_result", "search_result", "document", "other", None)
    deep: object = {"type": "text", "cache_control": 0}
    bodies = []
    for level in range(12):
        for odd in (deep, [deep], {"content": [deep]}, {"type": kinds[level % 6], "content": [deep, "x", None]}):
            base = {"cache_control": 1, "max_tokens": 1, "messages": [{"content": [odd], "cache_control": 2}]}
            bodies += [{**base, field: [odd]} for field in ("system", "tools", "other")]
            bodies.append({**base, "messages": [odd, {"content": odd}]})
        if level % 2:
            source = {"content": [deep], "cache_control": 3}
            deep = {"type": "document", "source": source, "content": [{"cache_control": 4}], "cache_control": 4}
        else:
            deep = {"type": "tool_result", "content": [deep], "input": {"cache_control": 5}, "cache_control": 5}
    paths = ("/v1/messages", "/messages/count_tokens", "/v1/complete", "/v1/chat/completions")
    requests = [Request("POST", f"http://h{path}", (), json.dumps(body).encode()) for body in bodies for path in paths]
    for request, found in zip(requests, computed([described(each) for each in requests]), strict=True):
        assert found == (signature_of(request).key, signature_of(request).document.decode()), request.body
    print(f"\n{len(requests)} bodies with marks have one key in both implementations")


# --- the tables of the page are those of the code ------------------------------------------------


def cells(heading: str) -> list[list[str]]:
    """The lines of the first table below a heading."""
    below = PAGE.split(f"\n{heading}\n", 1)[1]
    table = re.search(r"^\|.*\n\|[-|]+\n((?:\|.*\n)+)", below, re.MULTILINE)
    assert table is not None
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def test_the_vendors_own_addresses_are_those_of_the_page():
    assert {(host, prefix): name for name, host, prefix in cells("### The vendors' own addresses")} == dict(OWN)
    assert set(OWN.values()) <= {vendor.name for vendor in VENDORS}
    for host, prefix in OWN:
        assert endpoint_at(f"https://{host}{prefix}/v1/chat/completions").upstream == OWN[host, prefix]


def test_what_is_left_out_is_what_the_page_says():
    listed = {name.strip() for line in cells("## What of the body counts")[1:4] for name in line[0].split(",")}
    assert listed == OUTSIDE


def test_the_credentials_in_a_query_are_those_of_the_page():
    listed = re.search(r"\n\n(`access_token`.*)\n", PAGE)
    assert listed is not None
    assert set(re.findall(r"`(.+?)`", listed[1])) == CREDENTIALS


def test_the_headers_that_count_are_those_of_the_page():
    first = PAGE.split("\n## Headers\n", 1)[1].split("count,", 1)[0]
    assert set(re.findall(r"`(.+?)`", first)) == HEADERS


def test_the_example_of_the_page_is_true():
    document, key = re.findall(r"^(?:document|key) +(?:= )?(.+)$", PAGE, re.MULTILINE)[:2]
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}'
    signature = sign(Request("POST", CHAT), loads(body), endpoint_at(CHAT), Policy())
    assert (signature.document.decode(), signature.key) == (document, key)
