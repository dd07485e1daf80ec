// SPDX-License-Identifier: GPL-2.0

#include <asm/barrier.h>

/* A general barrier: an AcqRel exchange of Rust is none on arm64. */
void rust_helper_smp_mb(void)
{
	/* The caller says what it pairs with. */
	smp_mb();
}
