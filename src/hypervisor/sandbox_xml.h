/*
 * Writing an XML document by libxml2's writer.  Every value is escaped; a value
 * that XML cannot carry fails the whole document, as does missing memory.
 * Errors are sticky: the caller checks once, at the end.  Any thread.
 */

#ifndef SANDBOX_XML_H
#define SANDBOX_XML_H

#include <libxml/xmlwriter.h>

typedef struct {
    xmlBufferPtr buffer;
    xmlTextWriterPtr writer;
    int failed;
} sandbox_xml_t;

void sandbox_xml_open(sandbox_xml_t *x);
/* The document as malloc'd text, or NULL; frees the writer either way. */
char *sandbox_xml_close(sandbox_xml_t *x);

void sandbox_xml_start(sandbox_xml_t *x, const char *name);
void sandbox_xml_end(sandbox_xml_t *x);
void sandbox_xml_attr(sandbox_xml_t *x, const char *name, const char *value);
void sandbox_xml_text(sandbox_xml_t *x, const char *value);

/* <name a="v" …/>: pairs of attribute name and value up to a NULL name. */
void sandbox_xml_empty(sandbox_xml_t *x, const char *name, ...)
    __attribute__((sentinel));
void sandbox_xml_element(sandbox_xml_t *x, const char *name, const char *text);
/* <name unit="…">number</name>; unit may be NULL. */
void sandbox_xml_number(sandbox_xml_t *x, const char *name, const char *unit,
                        long long value);

/* Writes text that is XML already: nothing is escaped. */
void sandbox_xml_raw(sandbox_xml_t *x, const char *text);

#endif
