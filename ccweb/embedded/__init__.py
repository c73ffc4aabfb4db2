"""The parts that `make run` starts when no real ones are named: a broker, a Valkey, demo data."""
