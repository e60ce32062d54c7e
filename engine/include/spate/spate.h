/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SPATE_H
#define SPATE_SPATE_H

/* Includes the whole public API of libspate. */

#include <spate/base.h>
#include <spate/cert.h>
#include <spate/channel.h>
#include <spate/conn.h>
#include <spate/counters.h>
#include <spate/datagram.h>
#include <spate/engine.h>
#include <spate/event.h>
#include <spate/hand_over.h>
#include <spate/histogram.h>
#include <spate/io.h>
#include <spate/log.h>
#include <spate/message.h>
#include <spate/pool.h>
#include <spate/qlog.h>
#include <spate/quic_lb.h>
#include <spate/resume.h>
#include <spate/ring.h>
#include <spate/settings.h>
#include <spate/shards.h>
#include <spate/stat_file.h>
#include <spate/stats.h>
#include <spate/stream.h>
#include <spate/tls.h>
#include <spate/version.h>

#endif
