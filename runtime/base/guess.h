// What somebody may have meant who wrote a word that is not there. Any thread.
#pragma once

#include <stddef.h>

// The candidate nearest to `word`, when it is near enough to be what somebody meant; NULL if not.
// Words of more than 32 bytes are like no other.
const char *pl_guess(const char *word, const char *const *candidates, size_t count);
