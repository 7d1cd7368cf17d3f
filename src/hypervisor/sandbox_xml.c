/* The writer of XML documents; see the header. */

#include "sandbox_xml.h"

#include <libxml/chvalid.h>
#include <libxml/parserInternals.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SANDBOX_XML_MAX_VALUE 65536 /* bytes, with the NUL */


void
sandbox_xml_open(sandbox_xml_t *x)
{
    x->failed = 0;
    x->writer = NULL;
    x->buffer = xmlBufferCreate();

    if (x->buffer) {
        x->writer = xmlNewTextWriterMemory(x->buffer, 0);
    }

    if (x->writer == NULL) {
        x->failed = 1;
    }
}


char *
sandbox_xml_close(sandbox_xml_t *x)
{
    char *text;

    text = NULL;

    if (x->writer) {
        if (xmlTextWriterEndDocument(x->writer) < 0) {
            x->failed = 1;
        }
        xmlFreeTextWriter(x->writer);
    }

    if (!x->failed) {
        text = strdup((const char *) xmlBufferContent(x->buffer));
    }

    if (x->buffer) {
        xmlBufferFree(x->buffer);
    }

    return text;
}


/*
 * 1 if XML can carry the value: UTF-8 whose characters are all of the
 * production Char of XML 1.0.  No escape can express others.
 */
static int
sandbox_xml_carries(const char *value)
{
    int c, len;
    size_t i, n;

    n = strnlen(value, SANDBOX_XML_MAX_VALUE);

    if (n == SANDBOX_XML_MAX_VALUE || !xmlCheckUTF8((const xmlChar *) value)) {
        return 0;
    }

    for (i = 0; i < n; i += (size_t) len) {
        len = (int) (n - i);
        c = xmlGetUTF8Char((const unsigned char *) value + i, &len);

        if (c < 0 || len < 1 || !xmlIsCharQ(c)) {
            return 0;
        }
    }

    return 1;
}


void
sandbox_xml_start(sandbox_xml_t *x, const char *name)
{
    if (!x->failed
        && xmlTextWriterStartElement(x->writer, (const xmlChar *) name) < 0)
    {
        x->failed = 1;
    }
}


void
sandbox_xml_end(sandbox_xml_t *x)
{
    if (!x->failed && xmlTextWriterEndElement(x->writer) < 0) {
        x->failed = 1;
    }
}


void
sandbox_xml_attr(sandbox_xml_t *x, const char *name, const char *value)
{
    if (x->failed) {
        return;
    }

    if (value == NULL || !sandbox_xml_carries(value)
        || xmlTextWriterWriteAttribute(x->writer, (const xmlChar *) name,
                                       (const xmlChar *) value)
               < 0)
    {
        x->failed = 1;
    }
}


void
sandbox_xml_text(sandbox_xml_t *x, const char *value)
{
    if (x->failed) {
        return;
    }

    if (value == NULL || !sandbox_xml_carries(value)
        || xmlTextWriterWriteString(x->writer, (const xmlChar *) value) < 0)
    {
        x->failed = 1;
    }
}


void
sandbox_xml_empty(sandbox_xml_t *x, const char *name, ...)
{
    va_list args;
    const char *attr;

    sandbox_xml_start(x, name);

    va_start(args, name);
    for (attr = va_arg(args, const char *); attr;
         attr = va_arg(args, const char *)) {
        sandbox_xml_attr(x, attr, va_arg(args, const char *));
    }
    va_end(args);

    sandbox_xml_end(x);
}


void
sandbox_xml_element(sandbox_xml_t *x, const char *name, const char *text)
{
    sandbox_xml_start(x, name);
    sandbox_xml_text(x, text);
    sandbox_xml_end(x);
}


void
sandbox_xml_number(sandbox_xml_t *x, const char *name, const char *unit,
                   long long value)
{
    char text[24];

    (void) snprintf(text, sizeof(text), "%lld", value);

    sandbox_xml_start(x, name);
    if (unit) {
        sandbox_xml_attr(x, "unit", unit);
    }
    sandbox_xml_text(x, text);
    sandbox_xml_end(x);
}


void
sandbox_xml_raw(sandbox_xml_t *x, const char *text)
{
    if (!x->failed
        && xmlTextWriterWriteRaw(x->writer, (const xmlChar *) text) < 0) {
        x->failed = 1;
    }
}
