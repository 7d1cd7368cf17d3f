/*
 * Writes an XML document in memory, by libxml2's writer.
 *
 * Values (of attributes, and text) are escaped.  The document fails by a value
 * that is NULL, has 64 KiB or more, or a character that XML cannot carry, and
 * if memory is out.  Names are not checked: they are constants of the callers.
 * After a failure all calls do nothing, and sandbox_xml_close() returns NULL.
 *
 * Any thread; a document belongs to one thread at a time.
 */

#ifndef SANDBOX_XML_H
#define SANDBOX_XML_H

#include <libxml/xmlwriter.h>

typedef struct {
    xmlBufferPtr buffer;
    xmlTextWriterPtr writer;
    int failed; /* 1: the document has failed; callers may set it too */
} sandbox_xml_t;

/* Begins a document in *x, which sandbox_xml_close() must end. */
void sandbox_xml_open(sandbox_xml_t *x);
/*
 * Ends the elements that are open, and returns the document, malloc'd, or NULL
 * if it has failed; frees what *x has either way.
 */
char *sandbox_xml_close(sandbox_xml_t *x);

/* An element's start and end; attributes come before text and elements. */
void sandbox_xml_start(sandbox_xml_t *x, const char *name);
void sandbox_xml_end(sandbox_xml_t *x);
void sandbox_xml_attr(sandbox_xml_t *x, const char *name, const char *value);
void sandbox_xml_text(sandbox_xml_t *x, const char *value);

/* <name a="v" …/>: names of attributes and their values, up to a NULL name. */
void sandbox_xml_empty(sandbox_xml_t *x, const char *name, ...)
    __attribute__((sentinel));
/* <name>text</name> */
void sandbox_xml_element(sandbox_xml_t *x, const char *name, const char *text);
/* <name unit="…">number</name>; unit may be NULL. */
void sandbox_xml_number(sandbox_xml_t *x, const char *name, const char *unit,
                        long long value);

/* Writes text that is XML already: nothing is escaped. */
void sandbox_xml_raw(sandbox_xml_t *x, const char *text);

#endif
