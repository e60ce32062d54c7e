/* SPDX-License-Identifier: MIT */
#include "test/relay/line.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

static void begin_link(struct line *line, uint64_t now_ns)
{
    link_init(&line->link, &line->config.link, line->seed, now_ns);
    const struct dual_config dual = {
        .bits_per_s = line->link.config.rate.bits_per_s,
        .bytes_max = line->link.config.queue_bytes,
    };
    dual_init(&line->dual, &dual, line->seed, now_ns);
}

bool line_init(struct line *line, const struct line_config *config, struct store *store,
               uint64_t seed, uint64_t now_ns)
{
    *line = (struct line){.config = *config, .store = store, .seed = seed};
    begin_link(line, now_ns);
    return wheel_init(&line->wheel, now_ns);
}

void line_deinit(struct line *line)
{
    link_deinit(&line->link);
    wheel_deinit(&line->wheel);
}

/* Segments that leave as one parcel; `parcel` is NULL before the first. */
struct packing {
    const struct packet *packet;
    struct store_slot *slot; /* NULL before the first segment that is not dropped */
    struct parcel_item *parcel;
    uint64_t first_ns; /* when the parcel's first segment arrives */
    uint64_t now_ns;
};

/* ---- The queue for L4S ---- */

/* Puts a parcel of one segment into the queue.  It arrives by as much later than it leaves there as
 * the link has said it would arrive without a queue. */
static void wait_for_turn(struct line *line, const struct packing *packing)
{
    struct parcel_item *parcel = packing->parcel;
    parcel->delay_ns = parcel->item.due_ns - packing->now_ns;
    parcel->waiting = (struct dual_item){
        .size = parcel->count > 1 ? packing->packet->size
                                  : packet_segment_bytes(packing->packet, parcel->first),
        .ecn = parcel->ecn,
    };
    if (dual_add(&line->dual, &parcel->waiting, packing->now_ns))
        return;
    line->link.counts.overflowed++;
    store_parcel_free(line->store, parcel);
}

static struct parcel_item *parcel_of(struct dual_item *waiting)
{
    return (struct parcel_item *)(void *)((char *)waiting - offsetof(struct parcel_item, waiting));
}

/* What has left the queue by now is on its way. */
static void serve(struct line *line, uint64_t now_ns)
{
    struct dual_item *waiting;
    while ((waiting = dual_take(&line->dual, now_ns)) != NULL) {
        struct parcel_item *parcel = parcel_of(waiting);
        if (waiting->is_dropped) {
            line->link.counts.overflowed++;
            store_parcel_free(line->store, parcel);
            continue;
        }
        spate_histogram_record(&line->link.waits, waiting->begins_ns - waiting->came_ns);
        line->link.counts.marked += waiting->ecn != parcel->ecn;
        parcel->ecn = waiting->ecn;
        parcel->item.due_ns = waiting->leaves_ns + parcel->delay_ns;
        wheel_add(&line->wheel, &parcel->item);
    }
}

/* ---- Packets that come in ---- */

static void ship(struct line *line, struct packing *packing)
{
    if (packing->parcel != NULL && line->config.link.has_l4s)
        wait_for_turn(line, packing);
    else if (packing->parcel != NULL)
        wheel_add(&line->wheel, &packing->parcel->item);
    packing->parcel = NULL;
}

/* Begins a parcel.  Returns false without memory. */
static bool begin(struct line *line, struct packing *packing, uint32_t first)
{
    if (packing->slot == NULL)
        packing->slot = store_keep(line->store, packing->packet);
    if (packing->slot != NULL)
        packing->parcel = store_parcel(line->store, packing->slot);
    if (packing->parcel == NULL) {
        line->counts.forgotten_count++;
        return false;
    }
    packing->parcel->first = first;
    return true;
}

/* Returns whether the segment can leave with those before it. */
static bool fits(const struct line *line, const struct packing *packing,
                 const struct link_verdict *verdict, uint32_t index)
{
    const struct parcel_item *parcel = packing->parcel;
    bool splits = line->config.splits || line->config.link.has_l4s;
    return parcel != NULL && !splits && parcel->first + parcel->count == index &&
           parcel->ecn == verdict->ecn && verdict->due_ns >= parcel->item.due_ns &&
           verdict->due_ns - packing->first_ns <= line->config.join_ns;
}

static void pack(struct line *line, struct packing *packing, const struct link_verdict *verdict,
                 uint32_t index, uint32_t count)
{
    if (!fits(line, packing, verdict, index)) {
        ship(line, packing);
        if (!begin(line, packing, index))
            return;
        packing->first_ns = verdict->due_ns;
        packing->parcel->ecn = verdict->ecn;
    }
    packing->parcel->count += count;
    packing->parcel->item.due_ns = verdict->due_ns;
}

/* A changed byte of a datagram arrives, because only the kernel's checksum would find it, which is
 * not computed here.  Any other packet is dropped, as a receiver would. */
static bool pack_corrupted(struct line *line, struct packing *packing,
                           const struct link_verdict *verdict, uint32_t index, uint32_t count)
{
    const struct packet *packet = packing->packet;
    ship(line, packing);
    size_t payload = packet_segment_bytes(packet, index) - packet->head_size;
    if (packet->protocol != IPPROTO_UDP || payload == 0)
        return false;
    pack(line, packing, verdict, index, count);
    if (packing->parcel == NULL)
        return false;
    packing->parcel->corrupt_at = (uint32_t)(verdict->corrupt_at % payload);
    packing->parcel->corrupt_with = verdict->corrupt_with;
    return true;
}

static void take_segment(struct line *line, struct packing *packing, uint32_t index, uint32_t count,
                         uint64_t now_ns)
{
    const struct packet *packet = packing->packet;
    size_t size = count > 1 ? packet->size : packet_segment_bytes(packet, index);
    struct link_verdict verdict = link_pass(&line->link, now_ns, size, packet_ecn(packet));
    if (verdict.is_dropped)
        return;
    if (verdict.is_corrupted) {
        if (pack_corrupted(line, packing, &verdict, index, count))
            ship(line, packing);
        return;
    }
    pack(line, packing, &verdict, index, count);
    if (!verdict.is_duplicated)
        return;
    ship(line, packing);
    pack(line, packing, &verdict, index, count);
    ship(line, packing);
}

void line_take(struct line *line, const struct virtio_net_hdr *vnet, const uint8_t *data,
               size_t size, uint64_t now_ns)
{
    struct packet packet = packet_parse(vnet, data, size);
    if (packet_is_discovery(&packet))
        return; /* nothing that the application sent: it is not counted either */
    if (!line->has_begun)
        begin_link(line, now_ns);
    line->has_begun = true;
    line->counts.trains_in += packet.count > 1;
    serve(line, now_ns);
    struct packing packing = {.packet = &packet, .now_ns = now_ns};
    if (line->config.keeps_whole)
        take_segment(line, &packing, 0, packet.count, now_ns);
    for (uint32_t i = 0; i < packet.count && !line->config.keeps_whole; i++)
        take_segment(line, &packing, i, 1, now_ns);
    ship(line, &packing);
    if (packing.slot != NULL)
        store_unref(line->store, packing.slot); /* its parcels hold it now */
}

uint64_t line_next_ns(const struct line *line)
{
    uint64_t leaves_ns = dual_next_ns(&line->dual), arrives_ns = wheel_next_ns(&line->wheel);
    return leaves_ns < arrives_ns ? leaves_ns : arrives_ns;
}

struct parcel_item *line_give(struct line *line, uint64_t now_ns)
{
    serve(line, now_ns);
    return (struct parcel_item *)(void *)wheel_take(&line->wheel, now_ns);
}

void line_cut(struct line *line, const struct parcel_item *parcel, uint8_t *scratch,
              struct packet_cut *ret)
{
    packet_cut(&parcel->slot->packet, parcel->first, parcel->count, parcel->ecn, ret);
    line->counts.trains_out += parcel->count > 1;
    line->counts.packets_out += parcel->count;
    line->counts.bytes_out += parcel->count * ret->head_size + ret->payload_size;
    if (parcel->corrupt_with == 0)
        return;
    memcpy(scratch, ret->payload, ret->payload_size);
    scratch[parcel->corrupt_at] ^= parcel->corrupt_with;
    ret->payload = scratch;
}
