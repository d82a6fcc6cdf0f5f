# SPDX-License-Identifier: Apache-2.0
"""The pages for people: HTML for a browser, plain text for other clients, without JavaScript."""
from lib import *

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


def html_page(sluice, path, params=None):
    answer = sluice.get(path, params, headers=HTML)
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/html"), f"{path}: {answer}"
    assert "<header>" in answer.text and "<script" not in answer.text, answer.text
    return answer.text


def test_configuration_and_flags_have_pages():
    sluice = Sluice("global: {external_labels: {site: 'a<b>&c'}}\n")
    text = html_page(sluice, "/config")
    assert "a&lt;b&gt;&amp;c" in text and "a<b>" not in text and "href='/targets'" in text, text
    text = html_page(sluice, "/flags")
    assert "<code>-config.file</code>" in text and sluice.config_path in text, text
    for path in ("/config", "/flags"):
        for headers in ({}, {"Accept": "*/*"}, {"Accept": "text/plain"}):
            answer = sluice.get(path, headers=headers)
            assert answer.headers["Content-Type"].startswith("text/plain") and "<header>" not in answer.text, answer
    assert "a<b>&c" in sluice.get("/config").text
    assert sluice.get("/metrics", headers=HTML).headers["Content-Type"].startswith("text/plain")


def test_reload_button_shows_the_result():
    sluice = Sluice("scrape_configs: []\n")
    assert "action='/-/reload'" in html_page(sluice, "/")
    answer = sluice.post("/-/reload", headers=HTML)
    assert answer.status == 200 and "Configuration reloaded" in answer.text and "href='/'" in answer.text, answer
    assert sluice.post("/-/reload").body == b""
    write_file("sluice.yml", "no_such_<key>: 1\n")
    answer = sluice.post("/-/reload", headers=HTML)
    assert answer.status == 500 and "Reload failed" in answer.text and "no_such_&lt;key&gt;" in answer.text, answer
    assert sluice.post("/-/reload").text.startswith("failed to reload config: ")
    closed = Sluice("scrape_configs: []\n", "--web.enable-lifecycle=false", name="closed")
    assert "action='/-/reload'" not in html_page(closed, "/") and "SIGHUP" in html_page(closed, "/")


def test_targets_of_a_pure_proxy():
    """The text has destinations and server groups; a section without entries says which key adds them."""
    sluice = Sluice("server_groups:\n- name: far\n  static_configs: [{targets: ['127.0.0.1:1']}]\n"
                    "remote_write: [{url: 'http://127.0.0.1:1/w', name: long}]\n")
    text = sluice.get("/targets").text
    assert "remote write:\n\tname=long, url=" in text, text
    assert "server groups:\n\tgroup=far, url=http://127.0.0.1:1" in text, text
    page = html_page(sluice, "/targets")
    assert "No destinations" not in page and "No server groups" not in page, page
    empty = Sluice("scrape_configs: []\n", name="empty")
    page = html_page(empty, "/targets")
    assert "<code>remote_write:" in page and "<code>server_groups:" in page, page
    assert empty.get("/targets").text == ""
