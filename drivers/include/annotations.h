/*
 * annotations.h - the source annotations (SAL and IRQL) that the drivers use, for compilers that do not know them.
 *
 * The WDK's sal.h and driverspecs.h (with kernelspecs.h) define all of them, and its static analysis reads them.
 * mingw-w64 has most of them; what its headers lack is defined as empty here. Meanings: "Understanding SAL" and
 * "IRQL Annotations for Drivers" in Microsoft's documentation.
 */
#ifndef ANNOTATIONS_H
#define ANNOTATIONS_H

#include <specstrings.h>

#include <driverspecs.h>

#ifndef _IRQL_requires_
#define _IRQL_requires_(irql)
#endif
#ifndef _IRQL_requires_max_
#define _IRQL_requires_max_(irql)
#endif
#ifndef _IRQL_requires_same_
#define _IRQL_requires_same_
#endif
#ifndef _IRQL_raises_
#define _IRQL_raises_(irql)
#endif
#ifndef _IRQL_saves_global_
#define _IRQL_saves_global_(kind, parameter)
#endif
#ifndef _IRQL_restores_global_
#define _IRQL_restores_global_(kind, parameter)
#endif
#ifndef _Function_class_
#define _Function_class_(name)
#endif
#ifndef _Dispatch_type_
#define _Dispatch_type_(code)
#endif
#ifndef _Must_inspect_result_
#define _Must_inspect_result_
#endif
#ifndef _Use_decl_annotations_
#define _Use_decl_annotations_
#endif
#ifndef _Printf_format_string_
#define _Printf_format_string_
#endif

#endif /* ANNOTATIONS_H */
