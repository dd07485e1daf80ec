/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vb2

#if !defined(_TRACE_VB2_RELEASE_FENCE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VB2_RELEASE_FENCE_H

#include <linux/tracepoint.h>
#include <media/videobuf2-core.h>

TRACE_EVENT(vb2_release_fence_armed,

	TP_PROTO(struct vb2_queue *q, unsigned int index, u64 context, u64 seqno),

	TP_ARGS(q, index, context, seqno),

	TP_STRUCT__entry(
		__string(queue, q->name)
		__field(u32, index)
		__field(u64, context)
		__field(u64, seqno)
	),

	TP_fast_assign(
		__assign_str(queue);
		__entry->index = index;
		__entry->context = context;
		__entry->seqno = seqno;
	),

	TP_printk("queue=%s index=%u context=%llu seqno=%llu",
		  __get_str(queue), __entry->index, __entry->context, __entry->seqno)
);

TRACE_EVENT(vb2_release_fence_signalled,

	TP_PROTO(struct vb2_queue *q, unsigned int index, u64 context, u64 seqno, int result),

	TP_ARGS(q, index, context, seqno, result),

	TP_STRUCT__entry(
		__string(queue, q->name)
		__field(u32, index)
		__field(u64, context)
		__field(u64, seqno)
		__field(int, result)
	),

	TP_fast_assign(
		__assign_str(queue);
		__entry->index = index;
		__entry->context = context;
		__entry->seqno = seqno;
		__entry->result = result;
	),

	TP_printk("queue=%s index=%u context=%llu seqno=%llu result=%d",
		  __get_str(queue), __entry->index, __entry->context, __entry->seqno,
		  __entry->result)
);

#endif /* _TRACE_VB2_RELEASE_FENCE_H */

#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE vb2_release_fence
#include <trace/define_trace.h>
