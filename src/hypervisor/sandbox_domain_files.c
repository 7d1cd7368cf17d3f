/* The files of a domain; see the header. */

#include "sandbox_domain_files.h"

#include "sandbox_json.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>

#include <stdlib.h>
#include <string.h>

#define DOMAIN_FILES_XML_MAX (8 * 1024 * 1024)

/* In the order of the document a disk comes before what it stands on. */
#define DOMAIN_FILES_DISKS                                                     \
    "/domain/devices/disk/source/@file"                                        \
    " | /domain/devices/disk//backingStore/source/@file"
#define DOMAIN_FILES_ARGUMENTS                                                 \
    "/domain/*[local-name()='commandline']/*[local-name()='arg']/@value"


static int
domain_files_layer(sandbox_domain_files_t *files, const char *path)
{
    char *copy, **layers;

    copy = strdup(path);
    if (copy == NULL) {
        return -1;
    }

    layers = realloc(files->layers, (files->n + 1) * sizeof(*layers));
    if (layers == NULL) {
        free(copy);
        return -1;
    }

    files->layers = layers;
    files->layers[files->n++] = copy;
    return 0;
}


/* The path in an "-object" that is memory in a file; others are passed over. */
static int
domain_files_argument(sandbox_domain_files_t *files, const char *value)
{
    sandbox_json_t doc;
    sandbox_json_error_t err;
    const sandbox_json_node_t *node;

    if (value[0] != '{' || files->memory
        || sandbox_json_parse(&doc, value, strlen(value), &err) != 0)
    {
        return 0;
    }

    node = sandbox_json_member(&doc, &doc.nodes[0], "mem-path");

    if (node) {
        files->memory = sandbox_json_string(&doc, node, NULL);
    }

    sandbox_json_free(&doc);
    return node && files->memory == NULL ? -1 : 0;
}


/* Gives the text of each node that the expression finds to a function. */
static int
domain_files_each(sandbox_domain_files_t *files, xmlXPathContextPtr context,
                  const char *xpath,
                  int (*take)(sandbox_domain_files_t *files, const char *text))
{
    int i, rc;
    xmlChar *text;
    xmlXPathObjectPtr found;

    found = xmlXPathEvalExpression((const xmlChar *) xpath, context);
    rc = found ? 0 : -1;

    for (i = 0;
         found && found->nodesetval && rc == 0 && i < found->nodesetval->nodeNr;
         i++)
    {
        text = xmlNodeGetContent(found->nodesetval->nodeTab[i]);
        rc = text ? take(files, (const char *) text) : -1;
        xmlFree(text);
    }

    xmlXPathFreeObject(found);
    return rc;
}


int
sandbox_domain_files_read(sandbox_domain_files_t *files, const char *xml)
{
    int rc;
    size_t len;
    xmlDocPtr doc;
    xmlNodePtr root;
    xmlXPathContextPtr context;

    memset(files, 0, sizeof(*files));
    len = strlen(xml);

    doc = len <= DOMAIN_FILES_XML_MAX ? xmlReadMemory(
              xml, (int) len, NULL, NULL,
              XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)
                                      : NULL;
    if (doc == NULL) {
        return -1;
    }

    rc = -1;
    root = xmlDocGetRootElement(doc);
    context = xmlXPathNewContext(doc);

    if (context && root && strcmp((const char *) root->name, "domain") == 0
        && domain_files_each(files, context, DOMAIN_FILES_DISKS,
                             domain_files_layer)
               == 0)
    {
        rc = domain_files_each(files, context, DOMAIN_FILES_ARGUMENTS,
                               domain_files_argument);
    }

    xmlXPathFreeContext(context);
    xmlFreeDoc(doc);

    if (rc != 0) {
        sandbox_domain_files_free(files);
    }

    return rc;
}


void
sandbox_domain_files_free(sandbox_domain_files_t *files)
{
    size_t i;

    for (i = 0; i < files->n; i++) {
        free(files->layers[i]);
    }

    free(files->layers);
    free(files->memory);
    memset(files, 0, sizeof(*files));
}
