# SPDX-License-Identifier: Apache-2.0
"""Credentials, headers and TLS for a proxy, beside vmagent, which has the same keys."""
import ssl

import fakes
from lib import *
from secure import Authority


class Proxy(fakes.Fake):
    """Refuses what it is asked to pass on. seen: (method, host, Proxy-Authorization, X-Proxy, Authorization)."""

    def __init__(self, context=None):
        self.seen = set()
        super().__init__()
        fakes.Handler.do_CONNECT = lambda request: request.server.owner.answer(request, b"")
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)

    def answer(self, request, body):
        host = request.path.removeprefix("http://").split("/")[0].split(":")[0] or request.headers.get("Host", "").split(":")[0]
        self.seen.add((request.command, host, *(request.headers.get(name) for name in ("Proxy-Authorization", "X-Proxy", "Authorization"))))
        return request.reply(502)


CREDENTIALS = [
    "proxy_basic_auth: {username: u, password: s3cret-1}", "proxy_bearer_token: s3cret-2", "proxy_bearer_token_file: FOLDER/token",
    "proxy_authorization: {type: Own, credentials: s3cret-3}", "proxy_headers: ['X-Proxy: s3cret-4'], bearer_token: s3cret-5",
    "proxy_url: 'http://name:s3cret-6@ADDRESS', proxy_basic_auth: {username: u, password: s3cret-7}"]


def config(proxy):
    """A target of each scheme for each kind of credentials, told apart by their address, and lists of targets."""
    lines = []
    for i, keys in enumerate(CREDENTIALS):
        keys = (keys if "proxy_url" in keys else "proxy_url: 'http://ADDRESS', " + keys).replace("ADDRESS", proxy.address).replace("FOLDER", folder())
        lines += [f"- {{job_name: {scheme}-{i}, scheme: {scheme}, scrape_interval: 300ms, scrape_timeout: 300ms, "
                  f"static_configs: [{{targets: ['127.{n}.0.{i + 1}:1']}}], {keys}}}" for n, scheme in ((1, "http"), (2, "https"))]
        lines += [f"- {{job_name: list-{i}, http_sd_configs: [{{url: 'http://127.3.0.{i + 1}:1/', {keys}}}]}}"]
    return "scrape_configs:\n" + "\n".join(lines) + "\n"


@waits
def test_credentials_for_the_proxy_are_those_of_vmagent():
    write_file("token", "s3cret-8\n")
    mine, other = Proxy(), Proxy()
    VMAgent(config(other), "-promscrape.httpSDCheckInterval=1s", "-remoteWrite.url=http://127.0.0.1:1/")
    sluice = Sluice(config(mine), "-promscrape.httpSDCheckInterval=1s")
    n = 3 * len(CREDENTIALS)
    wait_until(lambda: len(mine.seen) >= n and len(other.seen) >= n, 30, lambda: f"{sorted(mine.seen, key=str)}\n{sorted(other.seen, key=str)}")
    assert mine.seen == other.seen, f"{sorted(mine.seen - other.seen, key=str)}\nare not\n{sorted(other.seen - mine.seen, key=str)}"
    write_file("token", "s3cret-9\n")
    wait_until(lambda: any(authorization == "Bearer s3cret-9" for _, _, authorization, *_ in mine.seen), 10, "the file is read again")
    shown = sluice.get("/config").text + sluice.get("/targets").text + sluice.log()
    assert "s3cret" not in shown and "proxy_headers:" in shown


@waits
def test_a_proxy_with_tls():
    authority = Authority()
    for name, usage in (("proxy", "serverAuth"), ("client", "clientAuth")):
        authority.issue(name, usage=usage)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(f"{folder()}/proxy.pem", f"{folder()}/proxy.key")
    proxy = Proxy(context)
    tls = f"ca_file: {authority.pem}, cert_file: {folder()}/client.pem, key_file: {folder()}/client.key"
    sections = {"known": f"proxy_tls_config: {{{tls}}}", "unverified": f"proxy_tls_config: {{{tls.split(', ', 1)[1]}, insecure_skip_verify: true}}",
                "stranger": f"proxy_tls_config: {{ca_file: {authority.pem}}}", "untrusted": f"tls_config: {{{tls}}}"}
    Sluice("scrape_configs:\n" + "".join(
        f"- {{job_name: {name}, scheme: https, scrape_interval: 300ms, scrape_timeout: 300ms, proxy_url: 'https://{proxy.address}', {keys}, "
        f"proxy_bearer_token: t, static_configs: [{{targets: ['127.0.1.{i + 1}:1']}}]}}\n" for i, (name, keys) in enumerate(sections.items())))
    expected = {("CONNECT", f"127.0.1.{i}", "Bearer t", None, None) for i in (1, 2)}
    wait_until(lambda: proxy.seen >= expected, 20, lambda: str(proxy.seen))
    assert proxy.seen == expected, "a client without a certificate, or one that does not trust the proxy, has reached it"


@waits
def test_the_login_of_a_proxy_url_wins():
    proxy = Proxy()
    Sluice("scrape_configs:\n" + "".join(
        f"- {{job_name: j{i}, scrape_interval: 300ms, scrape_timeout: 300ms, proxy_url: '{scheme}name:own@{proxy.address}', "
        f"proxy_basic_auth: {{username: u, password: p}}, static_configs: [{{targets: ['127.1.0.{i + 1}:1']}}]}}\n"
        for i, scheme in enumerate(("http://", ""))))
    expected = {("GET", f"127.1.0.{i}", "Basic bmFtZTpvd24=", None, None) for i in (1, 2)}
    wait_until(lambda: len(proxy.seen) >= 2, 20, lambda: str(proxy.seen))
    assert proxy.seen == expected, str(proxy.seen)


def test_credentials_for_the_proxy_that_are_invalid():
    def refused(keys, words):
        sluice = Sluice(f"scrape_configs: [{{job_name: j, proxy_url: 'http://p:1', {keys}}}]\n", start=False)
        sluice.start()
        assert sluice.wait_exit(10) == 1 and words in sluice.log(), (words, sluice.log())
    refused("proxy_bearer_token: a, proxy_basic_auth: {username: u}", "keep one kind of credentials")
    refused("proxy_headers: [no colon]", 'is not of the form "Name: value"')
    refused("proxy_tls_config: {server_name: x}", "server_name is not supported")
    refused("proxy_tls_config: {min_version: TLS9}", "min_version")
