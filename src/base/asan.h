/* Is this a build with AddressSanitizer? Its run-time makes system calls of its own and maps the address space in
 * advance. */
#ifndef HOLM_BASE_ASAN_H
#define HOLM_BASE_ASAN_H

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifndef HAS_ASAN
#define HAS_ASAN 0
#endif

#endif
