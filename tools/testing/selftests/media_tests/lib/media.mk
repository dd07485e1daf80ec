# SPDX-License-Identifier: GPL-2.0-only
#
# What the media tests share, as one library. To be included after lib.mk; a program takes from it
# what it needs.

MEDIA_LIB := $(dir $(filter %/media.mk,$(MAKEFILE_LIST)))
MEDIA_LIB_OBJS := $(patsubst $(MEDIA_LIB)%.c,$(OUTPUT)/lib/%.o,$(wildcard $(MEDIA_LIB)*.c))
MEDIA_LIB_HDRS := $(wildcard $(MEDIA_LIB)include/*.h)

CFLAGS += -Wall -O2 -g -I$(selfdir) -I$(MEDIA_LIB)include $(KHDR_INCLUDES)
LDLIBS += -pthread
LOCAL_HDRS += $(MEDIA_LIB_HDRS)
EXTRA_CLEAN += $(OUTPUT)/lib $(OUTPUT)/libmedia.a

$(OUTPUT)/lib/%.o: $(MEDIA_LIB)%.c $(MEDIA_LIB_HDRS)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) -c $< -o $@

# Anew, since an archive keeps the objects of files that are gone.
$(OUTPUT)/libmedia.a: $(MEDIA_LIB_OBJS)
	rm -f $@
	$(AR) rcs $@ $^

$(TEST_GEN_PROGS) $(TEST_GEN_FILES): $(LOCAL_HDRS) $(OUTPUT)/libmedia.a
