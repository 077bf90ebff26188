"""EC2 Auto Scaling: the API and the groups behind it; the state machine of a group is ``localcloud.fleet``."""
