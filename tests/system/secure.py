# SPDX-License-Identifier: Apache-2.0
"""Certificates, and clients of listeners with TLS and users."""
import base64
import http.client
import os
import re
import ssl
import subprocess
import urllib.error
import urllib.request

from lib import *
from lib import Answer

# Of "secret" and "other", with cost 4.
SECRET = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
OTHER = "$2y$04$abcdefghijklmnopqrstuu0HtfOlPbTiymk5tcV.3TsFPDd3SYZqu"
EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("rsa:2048",)


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder())


class Authority:
    """A CA in folder(): NAME.pem and NAME.key."""

    def __init__(self, name="ca"):
        self.name, self.pem = name, f"{folder()}/{name}.pem"
        openssl("req", "-x509", "-newkey", *EC, "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.pem")

    def issue(self, name, san="IP:127.0.0.1,DNS:localhost", usage="serverAuth", key=EC):
        """Puts NAME.pem and NAME.key in place, one after the other."""
        write_file(f"{name}.ext", f"subjectAltName={san}\nextendedKeyUsage={usage}\n")
        openssl("req", "-newkey", *key, "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key.new", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key",
                "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem.new")
        for kind in ("pem", "key"):
            os.rename(f"{folder()}/{name}.{kind}.new", f"{folder()}/{name}.{kind}")

    def context(self, client=None):
        """Of a client that trusts this CA, with the certificate of this name."""
        context = ssl.create_default_context(cafile=self.pem)
        if client:
            context.load_cert_chain(f"{folder()}/{client}.pem", f"{folder()}/{client}.key")
        return context


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def fetch(sluice, path, context=None, user=None, headers=None, port=None, data=None, timeout=10):
    """Over TLS with a context; user: (name, password)."""
    url = f"http{'s' if context else ''}://127.0.0.1:{port or sluice.port}{path}"
    r = urllib.request.Request(url, data=data, headers={**(headers or {}), **(basic(*user) if user else {})})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(r, timeout=timeout) as a:
            return Answer(a.status, a.headers, a.read())
    except urllib.error.HTTPError as a:
        return Answer(a.code, a.headers, a.read())


def refused(sluice, *args, **more):
    """The handshake fails, or the connection ends without a response."""
    try:
        answer = fetch(sluice, *args, **more)
    except (OSError, http.client.HTTPException):
        return True
    raise AssertionError(f"was served: {answer}")


def secured(web, config="", *flags, context=None, user=None, **more):
    """A sluice with this web configuration, when it serves."""
    path = write_file("web.yml", web)
    sluice = Sluice(config, f"--web.config.file={path}", *flags, ready=False, **more)
    wait_until(lambda: fetch(sluice, "/-/ready", context, user).status == 200, 30, "ready")
    sluice.web_path = path
    return sluice


def start_error(*flags, config="", web=None):
    """The output of a sluice that does not start."""
    if web is not None:
        flags += (f"--web.config.file={write_file('web.yml', web)}",)
    sluice = Sluice(config, *flags, ready=False)
    assert sluice.wait_exit(20) == 1, sluice.log()
    return sluice.log()
