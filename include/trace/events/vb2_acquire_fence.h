/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vb2

#if !defined(_TRACE_VB2_ACQUIRE_FENCE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VB2_ACQUIRE_FENCE_H

#include <linux/dma-fence.h>
#include <linux/tracepoint.h>
#include <media/videobuf2-core.h>

/* The names are last: those of other drivers may have blanks. */
TRACE_EVENT(vb2_acquire_fence_waiting,

	TP_PROTO(struct vb2_queue *q, unsigned int index, struct dma_fence *fence,
		 const char *driver, const char *timeline),

	TP_ARGS(q, index, fence, driver, timeline),

	TP_STRUCT__entry(
		__string(queue, q->name)
		__field(u32, index)
		__field(u64, context)
		__field(u64, seqno)
		__string(driver, driver)
		__string(timeline, timeline)
	),

	TP_fast_assign(
		__assign_str(queue);
		__entry->index = index;
		__entry->context = fence->context;
		__entry->seqno = fence->seqno;
		__assign_str(driver);
		__assign_str(timeline);
	),

	TP_printk("queue=%s index=%u context=%llu seqno=%llu driver=%s timeline=%s",
		  __get_str(queue), __entry->index, __entry->context, __entry->seqno,
		  __get_str(driver), __get_str(timeline))
);

TRACE_EVENT(vb2_acquire_fence_ended,

	TP_PROTO(struct vb2_queue *q, unsigned int index, u64 context, u64 seqno,
		 const char *outcome),

	TP_ARGS(q, index, context, seqno, outcome),

	TP_STRUCT__entry(
		__string(queue, q->name)
		__field(u32, index)
		__field(u64, context)
		__field(u64, seqno)
		__string(outcome, outcome)
	),

	TP_fast_assign(
		__assign_str(queue);
		__entry->index = index;
		__entry->context = context;
		__entry->seqno = seqno;
		__assign_str(outcome);
	),

	TP_printk("queue=%s index=%u context=%llu seqno=%llu outcome=%s",
		  __get_str(queue), __entry->index, __entry->context, __entry->seqno,
		  __get_str(outcome))
);

#endif /* _TRACE_VB2_ACQUIRE_FENCE_H */

#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE vb2_acquire_fence
#include <trace/define_trace.h>
