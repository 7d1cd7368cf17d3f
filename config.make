# Makes two headers part of the build: sandbox_scripts.h, the Lua scripts as C
# arrays, and sandbox_version.h.  The latter is asked for each time, and changed
# only if the version has.

cat << END                                                    >> $NGX_MAKEFILE

$NGX_OBJS/sandbox_scripts.h: $ngx_addon_dir/src/state/*.lua \\
		$ngx_addon_dir/src/state/lua-to-header
	$ngx_addon_dir/src/state/lua-to-header \\
		$ngx_addon_dir/src/state/*.lua > \$@.tmp && mv \$@.tmp \$@

$NGX_OBJS/addon/state/ngx_http_sandbox_scripts.o: \\
		$NGX_OBJS/sandbox_scripts.h

.PHONY:	sandbox_version

$NGX_OBJS/sandbox_version.h: sandbox_version
	$ngx_addon_dir/src/metrics/version-to-header $ngx_addon_dir > \$@.tmp
	if cmp -s \$@.tmp \$@; then rm \$@.tmp; else mv \$@.tmp \$@; fi

$NGX_OBJS/addon/metrics/ngx_http_sandbox_version.o: \\
		$NGX_OBJS/sandbox_version.h

END
