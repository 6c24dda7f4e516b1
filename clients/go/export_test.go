package collector

import "time"

// WithHeartbeat sends a heartbeat after another time of silence.
func (o Options) WithHeartbeat(after time.Duration) Options {
	o.heartbeat = after
	return o
}
