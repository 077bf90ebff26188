"""An emulator of EC2 Auto Scaling with its instances, on one machine and without an AWS account.

``localcloud up`` starts it; ``localcloud.testing`` starts it in tests.
"""

#: What the server calls itself in its status, by which a client knows it from any other program on the port.
NAME = "wekruit-localcloud"
