# SPDX-License-Identifier: Apache-2.0
"""Files with credentials and certificates: replaced while the program runs, and gone."""
import os
import ssl
import subprocess

from lib import *


def certificate(name):
    """A new key and a certificate for 127.0.0.1, signed by itself: NAME.key and NAME.pem, replaced at once."""
    paths = [f"{folder()}/{name}.{kind}" for kind in ("key", "pem")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                    paths[0] + ".new", "-out", paths[1] + ".new"], check=True, capture_output=True)
    for path in paths:
        os.rename(path + ".new", path)
    return paths


class TLSExporter(ScriptedExporter):
    """Takes only clients with the certificate client.pem, and knows only the files of its start."""

    def begin_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder()}/server.pem", f"{folder()}/server.key")
        context.load_verify_locations(f"{folder()}/client.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        return self


def grows(exporter, what):
    n = exporter.n
    wait_until(lambda: exporter.n > n + 1, 15, f"scrapes with {what}")


def last_error(sluice):
    return sluice.data("/api/v1/targets")["activeTargets"][0]["lastError"]


def tls_target(ca_file):
    """An exporter with a certificate and the sluice that scrapes it with another."""
    certificate("server")
    certificate("client")
    exporter = TLSExporter().begin_tls()
    sluice = Sluice(f"""
global: {{scrape_interval: 500ms}}
scrape_configs:
- job_name: tls
  scheme: https
  static_configs: [{{targets: ['{exporter.address}']}}]
  tls_config: {{ca_file: {ca_file}, cert_file: client.pem, key_file: client.key}}
""")
    return exporter, sluice


def test_replaced_certificates_are_used():
    exporter, sluice = tls_target("server.pem")
    grows(exporter, "the first certificates")

    exporter.stop()
    certificate("server")
    exporter.start()
    exporter.begin_tls()
    grows(exporter, "another authority")

    exporter.stop()
    certificate("client")
    exporter.start()
    exporter.begin_tls()
    grows(exporter, "another client certificate")

    for name in ("server.pem", "client.pem", "client.key"):
        os.remove(f"{folder()}/{name}")
    wait_until(lambda: sluice.metric("sluice_file_refresh_errors_total") >= 6, what="two looks at each missing file")
    grows(exporter, "what was read before the files were deleted")
    assert sluice.log().count("its last content stays in use") == 3, sluice.log()


def test_ca_file_is_the_only_authority():
    exporter, sluice = tls_target("client.pem")
    wait_until(lambda: "certificate" in last_error(sluice), what="the server's certificate is refused")
    assert exporter.n == 0
    assert sluice.metric("sluice_file_refresh_errors_total") == 0


def test_a_file_that_comes_later():
    exporter, token = ScriptedExporter(), f"{folder()}/token"
    sluice = Sluice(f"""
global: {{scrape_interval: 500ms}}
scrape_configs:
- job_name: later
  static_configs: [{{targets: ['{exporter.address}']}}]
  bearer_token_file: '{token}'
""")
    wait_until(lambda: last_error(sluice) == f"cannot read {token}: No such file or directory", what="the error")
    assert exporter.n == 0
    write_file("token", "s3cret\n")
    grows(exporter, "the token")
    wait_until(lambda: "is read again" in sluice.log(), what="the recovery in the log")
    assert sluice.log().count("component=files") == 2, sluice.log()
