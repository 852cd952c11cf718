// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What one pen_tcp counts: one line per drop reason and per event.

#include "pen_counter.h"

#define PEN_TCP_COUNTERS(X)                                                                        \
	X(rx_segments, "segments received")                                                        \
	X(rx_bytes, "payload bytes received in order")                                             \
	X(rx_fast, "segments that took the predicted path")                                        \
	X(tx_segments, "segments sent")                                                            \
	X(tx_bytes, "payload bytes sent for the first time")                                       \
	X(tx_acks, "segments sent that only acknowledge")                                          \
	X(tx_rst, "resets sent")                                                                   \
	X(tx_no_buffer, "segments put off: the port had no buffer")                                \
	X(conn_connects, "connections opened by us")                                               \
	X(conn_accepts, "connections accepted")                                                    \
	X(conn_established, "handshakes finished")                                                 \
	X(conn_closed_ok, "connections finished in order")                                         \
	X(conn_closed_reset, "connections reset by the peer")                                      \
	X(conn_closed_refused, "connections refused by the peer")                                  \
	X(conn_closed_timeout, "connections given up after retransmissions")                       \
	X(conn_closed_unreachable, "connections ended by an ICMP error while connecting")          \
	X(conn_closed_aborted, "connections aborted by us")                                        \
	X(conn_closed_no_resource, "connections ended for lack of a resource")                     \
	X(conn_none_free, "connects and SYNs refused: the pool of connections was empty")          \
	X(port_none_free, "connects refused: every local port was taken")                          \
	X(time_wait_entered, "connections that went to TIME_WAIT")                                 \
	X(time_wait_recycled, "TIME_WAIT records given up early: the pool was full")               \
	X(time_wait_reused, "TIME_WAIT records replaced by a newer SYN")                           \
	X(retransmit_segments, "segments sent again")                                              \
	X(retransmit_timeouts, "retransmission timer expiries")                                    \
	X(retransmit_fast, "fast retransmits entered")                                             \
	X(retransmit_partial, "retransmits on a partial acknowledgement")                          \
	X(retransmit_syn, "SYN and SYN-ACK retransmissions")                                       \
	X(limited_transmit, "new segments sent on the first duplicate acknowledgements")           \
	X(persist_probes, "zero-window probes sent")                                               \
	X(delayed_acks, "acknowledgements sent by the delayed-ACK timer")                          \
	X(window_updates, "window updates sent")                                                   \
	X(dup_acks_rx, "duplicate acknowledgements received")                                      \
	X(dup_acks_tx, "duplicate acknowledgements sent")                                          \
	X(ooo_segments, "segments received out of order and kept")                                 \
	X(challenge_acks, "challenge ACKs sent")                                                   \
	X(challenge_limited, "challenge ACKs not sent: rate limit")                                \
	X(icmp_hard, "ICMP errors that ended a connection attempt")                                \
	X(icmp_soft, "ICMP errors noted and not acted upon")                                       \
	X(icmp_mtu, "path MTU reductions taken from ICMP")                                         \
	X(write_short, "writes cut short: a pool was empty")                                       \
	X(drop_short, "segments shorter than their header says")                                   \
	X(drop_checksum, "segments with a bad checksum")                                           \
	X(drop_options, "segments with malformed options")                                         \
	X(drop_source, "segments with port 0 or an impossible address")                            \
	X(drop_no_conn, "segments for no connection (answered by RST unless RST)")                 \
	X(drop_no_flags, "segments without ACK, SYN or RST")                                       \
	X(drop_syn_backlog, "SYNs dropped: too many half-open connections")                        \
	X(drop_syn_sent, "unacceptable answers to our SYN")                                        \
	X(drop_paws, "segments with an old timestamp")                                             \
	X(drop_no_timestamp, "segments without the negotiated timestamp")                          \
	X(drop_old, "segments that hold only bytes received before")                               \
	X(drop_window, "segments outside the receive window")                                      \
	X(drop_rst, "resets outside the window or not at its edge")                                \
	X(drop_syn, "SYNs on a synchronized connection")                                           \
	X(drop_ack, "segments that acknowledge what was never sent, or long ago")                  \
	X(drop_after_fin, "data past the end of the stream")                                       \
	X(drop_rx_beyond, "bytes cut: beyond the advertised window")                               \
	X(drop_rx_no_chunk, "bytes not kept: the chunk pool was empty")                            \
	X(drop_ooo_full, "out-of-order bytes not kept: the connection holds enough")               \
	X(drop_time_wait, "segments for a connection in TIME_WAIT")
PEN_COUNTERS_DECLARE(pen_tcp, PEN_TCP_COUNTERS);
