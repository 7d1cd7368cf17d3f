# Makes sandbox_scripts.h, the Lua scripts as C arrays, part of the build.

cat << END                                                    >> $NGX_MAKEFILE

$NGX_OBJS/sandbox_scripts.h: $ngx_addon_dir/src/state/*.lua \\
		$ngx_addon_dir/src/state/lua-to-header
	$ngx_addon_dir/src/state/lua-to-header \\
		$ngx_addon_dir/src/state/*.lua > \$@.tmp && mv \$@.tmp \$@

$NGX_OBJS/addon/state/ngx_http_sandbox_scripts.o: \\
		$NGX_OBJS/sandbox_scripts.h

END
