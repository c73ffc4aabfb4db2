"""The embedded system that `make run` starts: a Kafka broker, Valkey and demo data unless others are configured."""
