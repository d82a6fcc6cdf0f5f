# SPDX-License-Identifier: Apache-2.0
"""The API of EC2, with the elements of the responses at https://docs.aws.amazon.com/AWSEC2/latest/APIReference/ (DescribeInstances,
DescribeAvailabilityZones, "Error codes"), and invented values."""
import urllib.parse
import xml.sax.saxutils

from test_sigv4 import Amazon

XMLNS = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'


def element(name, value):
    if isinstance(value, list):
        value = {"item": value}
    if isinstance(value, dict):
        inside = "".join(element(k, one) for k, v in value.items() for one in (v if isinstance(v, list) and k == "item" else [v]))
        return f"<{name}>\n  {inside}</{name}>\n"
    return f"<{name}>{xml.sax.saxutils.escape(str(value))}</{name}>" if value != "" else f"<{name}/>"


class FakeEC2(Amazon):
    """pages: lists of reservations; asked_ec2: (user agent, access key, form) of each request. status, body, cut: to misbehave;
    zones: False: no permission to list them."""

    def __init__(self, *pages):
        self.pages, self.status, self.text, self.cut, self.zones, self.asked_ec2, self.endless = pages, 200, None, False, True, [], False
        super().__init__()

    def answer(self, request, body):
        path, _, query = request.path.partition("?")
        form = dict(urllib.parse.parse_qsl(query + "&" + body.decode("latin-1")))
        if path != "/" or "Action" not in form:
            return super().answer(request, body)
        access = None
        if request.headers["User-Agent"].startswith("sluice"):
            access = self.verify(request, body)
            self.asked_ec2.append((access, form))
            if access is None:
                return request.reply(401, b'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>AuthFailure</Code><Message>AWS was not able to '
                                          b"validate the &lt;keys&gt;</Message></Error></Errors><RequestID>r</RequestID></Response>")
        action = form["Action"]
        if self.status != 200 or (action == "DescribeAvailabilityZones" and not self.zones):
            return request.reply(self.status if self.status != 200 else 403, b"<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Slow down</Message>"
                                 b"</Error></Errors></Response>", Content_Type="text/xml;charset=UTF-8")
        if action == "DescribeAvailabilityZones":
            content = {"availabilityZoneInfo": [{"zoneName": f"eu-west-1{z}", "zoneId": f"euw1-az{i}", "zoneState": "available"} for i, z in enumerate("ab", 1)]}
        else:
            n = int(form.get("NextToken", "page+0")[5:])
            content = {"reservationSet": self.pages[n], **({"nextToken": f"page+{n + 1}"} if n + 1 < len(self.pages) else {"nextToken": "page+0"} if self.endless else {})}
        text = self.text if self.text is not None else '<?xml version="1.0" encoding="UTF-8"?>\n<!-- invented -->\n' + element(
            f"{action}Response", {"requestId": "r", **content}).replace(f"<{action}Response>", f"<{action}Response {XMLNS}>", 1)
        if self.cut:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text.encode()) + text.encode()[:len(text) // 2])
            request.close_connection = True
            return None
        return request.reply(200, text.encode(), Content_Type="text/xml;charset=UTF-8")


def instance(id, zone="a", tags=(), **more):
    return {"instanceId": id, "imageId": "ami-1", "instanceState": {"code": 16, "name": "running"}, "privateDnsName": f"{id}.internal", "dnsName": "", "reason": "",
            "instanceType": "t3.micro", "placement": {"availabilityZone": f"eu-west-1{zone}", "tenancy": "default"}, "architecture": "x86_64",
            **({"tagSet": [{"key": k, "value": v} for k, v in tags]} if tags else {}), **more}


def interface(subnet, device, *addresses, primary=False):
    return {"networkInterfaceId": f"eni-{device}", "subnetId": subnet, "attachment": {"attachmentId": "x", "deviceIndex": device},
            "ipv6AddressesSet": [{"ipv6Address": a, "isPrimaryIpv6": str(primary).lower()} for a in addresses]}


def pages():
    full = instance("i-1", tags=[("Name", "web <1> & more"), ("aws:autoscaling:groupName", "g"), ("empty", "")], privateIpAddress="127.30.0.1", ipAddress="127.31.0.1",
                    dnsName="ec2-1.example", vpcId="vpc-1", subnetId="sub-1", platform="windows", instanceLifecycle="spot",
                    networkInterfaceSet=[interface("sub-1", 0), interface("sub-2", 1), interface("sub-1", 2)])
    return ([{"reservationId": "r-1", "ownerId": "111", "instancesSet": [full, instance("i-2", "b", privateIpAddress="127.30.0.2")]},
             {"reservationId": "r-2", "ownerId": "222", "instancesSet": [instance("i-3", "c", privateIpAddress="127.30.0.3", vpcId="vpc-1", subnetId="sub-3",
                                                                                   networkInterfaceSet=[]), instance("i-4")]}],
            [{"reservationId": "r-3", "ownerId": "333", "instancesSet": [instance("i-5", privateIpAddress="127.30.0.5")]}], [])


def with_ipv6():
    return ([{"reservationId": "r-1", "ownerId": "111", "instancesSet": [
        instance("i-6", privateIpAddress="127.30.0.6", vpcId="v", subnetId="s", networkInterfaceSet=[interface("s", 0, "fd00::6"), interface("s", 2, "fd00::7", primary=True)]),
        instance("i-7", vpcId="v", subnetId="s", networkInterfaceSet=[interface("s", 0, "fd00::8", "fd00::9")])]}],)
