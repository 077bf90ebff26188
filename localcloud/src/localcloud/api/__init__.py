"""AWS's endpoints on one port: moto in-process; subclasses of its own classes put right what it lacks or fakes."""
