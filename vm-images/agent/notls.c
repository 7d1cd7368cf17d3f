/*
 * The library's archive is built with TLS, which this server never turns on:
 * its only peer is the host, one hop away on a private link.  These names
 * satisfy the linker in place of GnuTLS; reaching one is a bug and ends
 * the agent, but for the two that the library calls when it is initialised.
 */

#include <stdlib.h>

int gnutls_global_init(void);
void gnutls_global_deinit(void);
void agent_no_tls(void);

#define NO_TLS(name) void name(void) __attribute__((alias("agent_no_tls")))

NO_TLS(gnutls_alpn_set_protocols);
NO_TLS(gnutls_bye);
NO_TLS(gnutls_certificate_allocate_credentials);
NO_TLS(gnutls_certificate_free_credentials);
NO_TLS(gnutls_certificate_server_set_request);
NO_TLS(gnutls_certificate_set_dh_params);
NO_TLS(gnutls_certificate_set_retrieve_function2);
NO_TLS(gnutls_certificate_set_retrieve_function3);
NO_TLS(gnutls_certificate_set_x509_key_mem);
NO_TLS(gnutls_certificate_set_x509_key_mem2);
NO_TLS(gnutls_certificate_set_x509_trust_mem);
NO_TLS(gnutls_cipher_get);
NO_TLS(gnutls_credentials_set);
NO_TLS(gnutls_deinit);
NO_TLS(gnutls_dh_params_deinit);
NO_TLS(gnutls_dh_params_import_pkcs3);
NO_TLS(gnutls_dh_params_init);
NO_TLS(gnutls_handshake);
NO_TLS(gnutls_init);
NO_TLS(gnutls_priority_deinit);
NO_TLS(gnutls_priority_init);
NO_TLS(gnutls_priority_init2);
NO_TLS(gnutls_priority_set);
NO_TLS(gnutls_protocol_get_version);
NO_TLS(gnutls_psk_allocate_server_credentials);
NO_TLS(gnutls_psk_free_server_credentials);
NO_TLS(gnutls_psk_set_server_credentials_function);
NO_TLS(gnutls_record_check_pending);
NO_TLS(gnutls_record_get_direction);
NO_TLS(gnutls_record_recv);
NO_TLS(gnutls_record_send);
NO_TLS(gnutls_session_get_ptr);
NO_TLS(gnutls_session_set_ptr);
NO_TLS(gnutls_strerror);
NO_TLS(gnutls_transport_set_int2);

/* A variable of the library, unlike the rest. */
void *(*gnutls_malloc)(size_t size) = malloc;


int
gnutls_global_init(void)
{
    return 0;
}


void
gnutls_global_deinit(void)
{
}


void
agent_no_tls(void)
{
    abort();
}
