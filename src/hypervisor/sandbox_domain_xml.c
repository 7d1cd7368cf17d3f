/* The XML documents that libvirt is given; see the header. */

#include "sandbox_domain_xml.h"

#include "sandbox_agent.h"
#include "sandbox_text.h"
#include "sandbox_xml.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SANDBOX_XML_QEMU "http://libvirt.org/schemas/domain/qemu/1.0"
#define SANDBOX_XML_PROBE_MB 32

/*
 * Alignment, in bytes, of the memory's address in QEMU: so the kernel can map
 * huge pages of the file as such.
 */
#define SANDBOX_XML_ALIGN (2 * 1048576)

#define SANDBOX_XML_NO_TIMER_CHECK " no_timer_check"

/*
 * The PCI address of a device, on the root complex itself: with libvirt's
 * default, a root port for each device, a cold boot under TCG would have to
 * scan five more buses.
 */
static void
sandbox_xml_pci(sandbox_xml_t *x, const char *slot)
{
    sandbox_xml_empty(x, "address", "type", "pci", "bus", "0x00", "slot", slot,
                      "function", "0x0", NULL);
}


/*
 * The disk's backing chain, each layer inside the one above it.  It is spelled
 * out, so that libvirt need not probe what is in the files.
 */
static void
sandbox_xml_layers(sandbox_xml_t *x, const char *const *layers)
{
    size_t i, n;

    for (n = 0; layers[n]; n++) {
        sandbox_xml_start(x, "backingStore");
        sandbox_xml_attr(x, "type", "file");
        sandbox_xml_empty(x, "format", "type", "qcow2", NULL);
        sandbox_xml_empty(x, "source", "file", layers[n], NULL);
    }

    sandbox_xml_empty(x, "backingStore", NULL);

    for (i = 0; i < n; i++) {
        sandbox_xml_end(x);
    }
}


static void
sandbox_xml_disk(sandbox_xml_t *x, const sandbox_domain_spec_t *spec,
                 const sandbox_domain_xml_t *host)
{
    const char *const template[] = { spec->template->disk, NULL };

    sandbox_xml_start(x, "disk");
    sandbox_xml_attr(x, "type", "file");
    sandbox_xml_attr(x, "device", "disk");

    /* writeback: all guests read the base by the host's page cache */
    sandbox_xml_empty(x, "driver", "name", "qemu", "type", "qcow2", "cache",
                      "writeback", "io", "threads", "discard", "unmap",
                      "error_policy", "report", NULL);
    sandbox_xml_empty(x, "source", "file", host->disk, NULL);

    sandbox_xml_layers(x, host->layers ? host->layers : template);

    sandbox_xml_empty(x, "target", "dev", "vda", "bus", "virtio", NULL);
    sandbox_xml_pci(x, "0x02");
    sandbox_xml_end(x);
}


static void
sandbox_xml_interface(sandbox_xml_t *x, const sandbox_domain_spec_t *spec,
                      const sandbox_domain_xml_t *host)
{
    sandbox_xml_start(x, "interface");
    sandbox_xml_attr(x, "type", "bridge");
    sandbox_xml_empty(x, "mac", "address", spec->mac, NULL);
    sandbox_xml_empty(x, "source", "bridge", host->bridge, NULL);
    sandbox_xml_empty(x, "port", "isolated", "yes", NULL);
    sandbox_xml_empty(x, "target", "dev", spec->tap, NULL);
    sandbox_xml_empty(x, "model", "type", "virtio", NULL);
    sandbox_xml_empty(x, "rom", "enabled", "no", NULL);
    sandbox_xml_pci(x, "0x03");
    sandbox_xml_end(x);
}


static void
sandbox_xml_channel(sandbox_xml_t *x)
{
    sandbox_xml_start(x, "controller");
    sandbox_xml_attr(x, "type", "virtio-serial");
    sandbox_xml_attr(x, "index", "0");
    sandbox_xml_attr(x, "ports", "2");
    sandbox_xml_pci(x, "0x04");
    sandbox_xml_end(x);

    sandbox_xml_start(x, "channel");
    sandbox_xml_attr(x, "type", "unix");
    sandbox_xml_empty(x, "target", "type", "virtio", "name",
                      SANDBOX_AGENT_CHANNEL, NULL);
    sandbox_xml_end(x);
}


static void
sandbox_xml_devices(sandbox_xml_t *x, const sandbox_domain_spec_t *spec,
                    const sandbox_domain_xml_t *host)
{
    sandbox_xml_start(x, "devices");

    sandbox_xml_disk(x, spec, host);
    sandbox_xml_interface(x, spec, host);
    sandbox_xml_channel(x);

    sandbox_xml_start(x, "rng");
    sandbox_xml_attr(x, "model", "virtio");
    sandbox_xml_start(x, "backend");
    sandbox_xml_attr(x, "model", "random");
    sandbox_xml_text(x, "/dev/urandom");
    sandbox_xml_end(x);
    sandbox_xml_pci(x, "0x05");
    sandbox_xml_end(x);

    /* stdio is the domain's log, which virtlogd keeps bounded */
    sandbox_xml_empty(x, "serial", "type", "stdio", NULL);

    sandbox_xml_empty(x, "controller", "type", "usb", "model", "none", NULL);
    sandbox_xml_empty(x, "memballoon", "model", "none", NULL);

    sandbox_xml_end(x);
}


/* Features, CPU, clock and power events, which all domains have alike. */
static void
sandbox_xml_platform(sandbox_xml_t *x, sandbox_accel_t accel)
{
    sandbox_xml_start(x, "features");
    sandbox_xml_empty(x, "acpi", NULL);
    sandbox_xml_empty(x, "apic", NULL);
    sandbox_xml_empty(x, "smm", "state", "off", NULL);
    sandbox_xml_empty(x, "vmport", "state", "off", NULL);
    sandbox_xml_end(x);

    if (accel == SANDBOX_ACCEL_KVM) {
        sandbox_xml_empty(x, "cpu", "mode", "host-passthrough", "check", "none",
                          NULL);
    } else {
        sandbox_xml_empty(x, "cpu", "mode", "maximum", "check", "none", NULL);
    }

    sandbox_xml_start(x, "clock");
    sandbox_xml_attr(x, "offset", "utc");
    sandbox_xml_empty(x, "timer", "name", "hpet", "present", "no", NULL);
    sandbox_xml_end(x);

    sandbox_xml_element(x, "on_poweroff", "destroy");
    sandbox_xml_element(x, "on_reboot", "destroy");
    sandbox_xml_element(x, "on_crash", "destroy");
}


/* <domain …> up to and without its devices; the element stays open. */
static void
sandbox_xml_head(sandbox_xml_t *x, const char *name,
                 const sandbox_domain_xml_t *host, long long memory_mb,
                 int vcpus)
{
    sandbox_xml_start(x, "domain");
    sandbox_xml_attr(x, "type",
                     host->accel == SANDBOX_ACCEL_KVM ? "kvm" : "qemu");
    sandbox_xml_attr(x, "xmlns:qemu", SANDBOX_XML_QEMU);

    sandbox_xml_element(x, "name", name);
    sandbox_xml_element(x, "uuid", host->uuid);
    sandbox_xml_number(x, "memory", "MiB", memory_mb);
    sandbox_xml_number(x, "vcpu", NULL, vcpus);
}


static void
sandbox_xml_argument(sandbox_xml_t *x, const char *value)
{
    sandbox_xml_empty(x, "qemu:arg", "value", value, NULL);
}


/*
 * Defines the memory on QEMU's command line, where it replaces libvirt's:
 * libvirt can back memory with files, but names, empties and removes them
 * itself.  A booted machine has no file, but its memory must have the same
 * name, because its state is loaded into machines whose memory is a file.
 *
 * QEMU would offer the memory to KSM.  That lets a guest tell by the time of a
 * write what is in another's memory, and may replace pages that a take has
 * write-protected.
 */
static void
sandbox_xml_ram(sandbox_xml_t *x, const sandbox_domain_ram_t *ram,
                long long memory_mb)
{
    sandbox_text_t object = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&object,
                     "{\"qom-type\":\"memory-backend-%s\",\"id\":\"%s\","
                     "\"size\":%lld,\"share\":%s,\"merge\":false",
                     ram->path ? "file" : "ram", SANDBOX_DOMAIN_RAM,
                     memory_mb * 1048576, ram->shared ? "true" : "false");

    if (ram->path) {
        sandbox_text_fmt(&object,
                         ",\"align\":%d,\"mem-path\":", SANDBOX_XML_ALIGN);
        sandbox_text_json_string(&object, ram->path, strlen(ram->path));
    }

    sandbox_text_str(&object, "}");

    if (sandbox_text_failed(&object)) {
        x->failed = 1;
    }

    sandbox_xml_argument(x, "-object");
    sandbox_xml_argument(x, object.data);
    sandbox_xml_argument(x, "-machine");
    sandbox_xml_argument(x, "memory-backend=" SANDBOX_DOMAIN_RAM);

    if (ram->incoming) {
        sandbox_xml_argument(x, "-incoming");
        sandbox_xml_argument(x, "defer");
    }

    sandbox_text_free(&object);
}


/*
 * The last elements of the domain, and its end.  The label makes QEMU run as
 * its own user, and has libvirt change the owner of no file: the overlay is
 * made for that user; kernel, initrd and base are shared and must keep theirs.
 */
static void
sandbox_xml_tail(sandbox_xml_t *x, const sandbox_domain_xml_t *host,
                 long long memory_mb)
{
    if (host->label) {
        sandbox_xml_start(x, "seclabel");
        sandbox_xml_attr(x, "type", "static");
        sandbox_xml_attr(x, "model", "dac");
        sandbox_xml_attr(x, "relabel", "no");
        sandbox_xml_element(x, "label", host->label);
        sandbox_xml_end(x);
    }

    if (host->ram) {
        sandbox_xml_start(x, "qemu:commandline");
        sandbox_xml_ram(x, host->ram, memory_mb);
        sandbox_xml_end(x);
    }

    /* without this capability libvirt makes some 400 QMP calls less a start */
    sandbox_xml_start(x, "qemu:capabilities");
    sandbox_xml_empty(x, "qemu:del", "capability", "cpu-unavailable-features",
                      NULL);
    sandbox_xml_end(x);

    sandbox_xml_end(x);
}


static void
sandbox_xml_type(sandbox_xml_t *x, const char *machine)
{
    sandbox_xml_start(x, "type");
    sandbox_xml_attr(x, "arch", "x86_64");
    sandbox_xml_attr(x, "machine", machine);
    sandbox_xml_text(x, "hvm");
    sandbox_xml_end(x);
}


/*
 * The kernel's command line.  Linux checks its timer in a few loops and panics
 * if no tick comes, which happens under TCG on a busy host: so the check is
 * switched off.  Under KVM Linux skips it itself.
 */
static void
sandbox_xml_cmdline(sandbox_xml_t *x, const char *cmdline,
                    sandbox_accel_t accel)
{
    sandbox_xml_start(x, "cmdline");
    sandbox_xml_text(x, cmdline);

    if (accel != SANDBOX_ACCEL_KVM) {
        sandbox_xml_text(x, SANDBOX_XML_NO_TIMER_CHECK);
    }

    sandbox_xml_end(x);
}


/*
 * The element of sandbox_network_xml(), which is escaped as it is, with the
 * prefix and the namespace that libvirt requires of metadata.
 */
static void
sandbox_xml_network(sandbox_xml_t *x, const sandbox_network_t *network)
{
    char *element;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    element = sandbox_network_xml(network);

    if (element) {
        sandbox_text_fmt(&t, "<%s:network xmlns:%s=\"%s\"%s",
                         SANDBOX_NETWORK_KEY, SANDBOX_NETWORK_KEY,
                         SANDBOX_NETWORK_NAMESPACE,
                         element + sizeof("<network") - 1);
    }

    if (element == NULL || sandbox_text_failed(&t)) {
        x->failed = 1;
    }

    sandbox_xml_raw(x, t.data);

    sandbox_text_free(&t);
    free(element);
}


static void
sandbox_xml_metadata(sandbox_xml_t *x, const sandbox_domain_spec_t *spec,
                     const sandbox_domain_xml_t *host)
{
    sandbox_xml_start(x, "metadata");
    sandbox_xml_start(x, "sandbox:domain");
    sandbox_xml_attr(x, "xmlns:sandbox", SANDBOX_HV_NAMESPACE);
    sandbox_xml_attr(x, "id", spec->id);
    sandbox_xml_attr(x, "tenant", spec->tenant);
    sandbox_xml_attr(x, "operation", spec->operation);
    if (host->node) {
        sandbox_xml_attr(x, "node", host->node);
    }
    if (host->checkpoint) {
        sandbox_xml_attr(x, "checkpoint", host->checkpoint);

    } else if (spec->template->name) {
        /* a checkpoint of the domain takes them from here */
        sandbox_xml_attr(x, "template", spec->template->name);
        sandbox_xml_attr(x, "version", spec->template->version);
    }
    sandbox_xml_end(x);

    if (spec->network && !x->failed) {
        sandbox_xml_network(x, spec->network);
    }

    sandbox_xml_end(x);
}


char *
sandbox_domain_xml(const sandbox_domain_spec_t *spec,
                   const sandbox_domain_xml_t *host)
{
    sandbox_xml_t x;

    sandbox_xml_open(&x);
    sandbox_xml_head(&x, spec->id, host, spec->memory_mb, spec->vcpus);

    sandbox_xml_empty(&x, "genid", NULL);

    sandbox_xml_metadata(&x, spec, host);

    sandbox_xml_start(&x, "os");
    sandbox_xml_type(&x, host->machine);
    sandbox_xml_element(&x, "kernel", spec->template->kernel);
    sandbox_xml_element(&x, "initrd", spec->template->initrd);
    sandbox_xml_cmdline(&x, spec->template->cmdline, host->accel);
    sandbox_xml_end(&x);

    sandbox_xml_platform(&x, host->accel);
    sandbox_xml_devices(&x, spec, host);
    sandbox_xml_tail(&x, host, spec->memory_mb);

    return sandbox_xml_close(&x);
}


char *
sandbox_domain_xml_probe(const char *name, const sandbox_domain_xml_t *host)
{
    sandbox_xml_t x;

    sandbox_xml_open(&x);
    sandbox_xml_head(&x, name, host, SANDBOX_XML_PROBE_MB, 1);

    sandbox_xml_start(&x, "metadata");
    sandbox_xml_empty(&x, "sandbox:probe", "xmlns:sandbox",
                      SANDBOX_HV_NAMESPACE, NULL);
    sandbox_xml_end(&x);

    sandbox_xml_start(&x, "os");
    sandbox_xml_type(&x, host->machine);
    sandbox_xml_empty(&x, "boot", "dev", "hd", NULL);
    sandbox_xml_end(&x);

    sandbox_xml_platform(&x, host->accel);

    sandbox_xml_start(&x, "devices");
    sandbox_xml_start(&x, "disk");
    sandbox_xml_attr(&x, "type", "file");
    sandbox_xml_attr(&x, "device", "disk");
    sandbox_xml_empty(&x, "driver", "name", "qemu", "type", "raw", NULL);
    sandbox_xml_empty(&x, "source", "file", host->disk, NULL);
    sandbox_xml_empty(&x, "target", "dev", "vda", "bus", "virtio", NULL);
    sandbox_xml_pci(&x, "0x02");
    sandbox_xml_end(&x);
    sandbox_xml_empty(&x, "controller", "type", "usb", "model", "none", NULL);
    sandbox_xml_empty(&x, "memballoon", "model", "none", NULL);
    sandbox_xml_end(&x);

    sandbox_xml_tail(&x, host, SANDBOX_XML_PROBE_MB);

    return sandbox_xml_close(&x);
}


char *
sandbox_domain_xml_pool(const char *name, const char *path)
{
    sandbox_xml_t x;

    sandbox_xml_open(&x);
    sandbox_xml_start(&x, "pool");
    sandbox_xml_attr(&x, "type", "dir");
    sandbox_xml_element(&x, "name", name);
    sandbox_xml_start(&x, "target");
    sandbox_xml_element(&x, "path", path);
    sandbox_xml_end(&x);
    sandbox_xml_end(&x);

    return sandbox_xml_close(&x);
}


char *
sandbox_domain_xml_flip(const char *disk, const char *path)
{
    sandbox_xml_t x;

    sandbox_xml_open(&x);
    sandbox_xml_start(&x, "domainsnapshot");
    sandbox_xml_start(&x, "disks");
    sandbox_xml_start(&x, "disk");
    sandbox_xml_attr(&x, "name", disk);
    sandbox_xml_attr(&x, "snapshot", "external");
    sandbox_xml_empty(&x, "driver", "type", "qcow2", NULL);
    sandbox_xml_empty(&x, "source", "file", path, NULL);
    sandbox_xml_end(&x);
    sandbox_xml_end(&x);
    sandbox_xml_end(&x);

    return sandbox_xml_close(&x);
}


char *
sandbox_domain_xml_volume(const char *name, const char *backing,
                          long long bytes, const char *mode, long owner,
                          long group)
{
    sandbox_xml_t x;

    sandbox_xml_open(&x);
    sandbox_xml_start(&x, "volume");
    sandbox_xml_element(&x, "name", name);
    sandbox_xml_number(&x, "capacity", "bytes", bytes);
    sandbox_xml_number(&x, "allocation", "bytes", 0);

    sandbox_xml_start(&x, "target");
    sandbox_xml_empty(&x, "format", "type", backing ? "qcow2" : "raw", NULL);
    sandbox_xml_start(&x, "permissions");
    sandbox_xml_element(&x, "mode", mode);
    if (owner >= 0 && group >= 0) {
        sandbox_xml_number(&x, "owner", NULL, owner);
        sandbox_xml_number(&x, "group", NULL, group);
    }
    sandbox_xml_end(&x);
    if (backing) {
        sandbox_xml_element(&x, "compat", "1.1");
    }
    sandbox_xml_end(&x);

    if (backing) {
        sandbox_xml_start(&x, "backingStore");
        sandbox_xml_element(&x, "path", backing);
        sandbox_xml_empty(&x, "format", "type", "qcow2", NULL);
        sandbox_xml_end(&x);
    }

    sandbox_xml_end(&x);

    return sandbox_xml_close(&x);
}


char *
sandbox_domain_xml_find(const char *document, const char *xpath)
{
    char *result;
    size_t len;
    xmlChar *text;
    xmlDocPtr doc;
    xmlXPathObjectPtr found;
    xmlXPathContextPtr context;

    result = NULL;
    len = strlen(document);

    if (len > 8 * 1024 * 1024) {
        return NULL;
    }

    doc = xmlReadMemory(document, (int) len, NULL, NULL,
                        XML_PARSE_NONET | XML_PARSE_NOERROR
                            | XML_PARSE_NOWARNING);
    if (doc == NULL) {
        return NULL;
    }

    context = xmlXPathNewContext(doc);
    if (context) {
        found = xmlXPathEvalExpression((const xmlChar *) xpath, context);

        if (found && found->nodesetval && found->nodesetval->nodeNr > 0) {
            text = xmlNodeGetContent(found->nodesetval->nodeTab[0]);
            if (text) {
                result = strdup((const char *) text);
                xmlFree(text);
            }
        }

        xmlXPathFreeObject(found);
        xmlXPathFreeContext(context);
    }

    xmlFreeDoc(doc);
    return result;
}


char *
sandbox_domain_xml_cmdline(const char *document)
{
    char *text;
    size_t len, added;

    text = sandbox_domain_xml_find(document, "/domain/os/cmdline");

    if (text) {
        len = strlen(text);
        added = sizeof(SANDBOX_XML_NO_TIMER_CHECK) - 1;

        if (len >= added
            && strcmp(text + len - added, SANDBOX_XML_NO_TIMER_CHECK) == 0) {
            text[len - added] = '\0';
        }
    }

    return text;
}
