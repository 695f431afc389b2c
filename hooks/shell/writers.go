package shell

import (
	"path"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// Which operands of a program are files that it writes.
const (
	none = iota
	every
	first
	second
	folders // every one, as a folder
)

// A program is one whose command line says what it writes.
type program struct {
	grammar
	operands int
	writes   string // options whose argument is a file that it writes
	into     string // options whose argument is a folder that it writes into
	runs     string // options whose argument is a command
	hides    string // what it does beside that
	unless   string // options with which it writes no operand
}

var programs = map[string]program{
	"chgrp":      {}, // see below, as all that are empty
	"chmod":      {},
	"chown":      {},
	"cp":         {grammar: grammar{takes: "St", longs: "archive attributes-only backup copy-contents dereference force link no-clobber no-dereference no-preserve= no-target-directory one-file-system parents preserve recursive reflink remove-destination sparse= strip-trailing-slashes suffix= symbolic-link target-directory= update verbose"}},
	"csplit":     {grammar: grammar{takes: "bfn", longs: "digits= elide-empty-files keep-files prefix= quiet silent suffix-format= suppress-matched"}},
	"curl":       {grammar: grammar{takes: "AbcCdDeEFhHKmoPQrtTuUwxXyYz", longs: "abstract-unix-socket= alt-svc= anyauth append aws-sigv4= basic ca-native cacert= capath= cert-status cert-type= cert= ciphers= compressed compressed-ssh config= connect-timeout= connect-to= continue-at= cookie-jar= cookie= create-dirs create-file-mode= crlf crlfile= curves= data-ascii= data-binary= data-raw= data-urlencode= data= delegation= digest disable disable-eprt disable-epsv disallow-username-in-url dns-interface= dns-ipv4-addr= dns-ipv6-addr= dns-servers= doh-cert-status doh-insecure doh-url= dump-ca-embed dump-header= ech= egd-file= engine= etag-compare= etag-save= expand-url= expect100-timeout= fail fail-early fail-with-body false-start form-escape form-string= form= ftp-account= ftp-alternative-to-user= ftp-create-dirs ftp-method= ftp-pasv ftp-port= ftp-pret ftp-skip-pasv-ip ftp-ssl ftp-ssl-ccc ftp-ssl-ccc-mode= ftp-ssl-control get globoff happy-eyeballs-timeout-ms= haproxy-clientip= haproxy-protocol head header= help hostpubmd5= hostpubsha256= hsts= http0.9 http1.0 http1.1 http2 http2-prior-knowledge http3 http3-only ignore-content-length include insecure interface= ip-tos= ipfs-gateway= ipv4 ipv6 json= junk-session-cookies keepalive-time= key-type= key= krb= libcurl= limit-rate= list-only local-port= location location-trusted login-options= mail-auth= mail-from= mail-rcpt-allowfails mail-rcpt= manual max-filesize= max-redirs= max-time= metalink negotiate netrc netrc-file= netrc-optional next no-alpn no-buffer no-clobber no-keepalive no-npn no-progress-meter no-sessionid noproxy= ntlm ntlm-wb oauth2-bearer= output-dir= output= parallel parallel-immediate parallel-max= pass= path-as-is pinnedpubkey= post301 post302 post303 preproxy= progress-bar proto-default= proto-redir= proto= proxy-anyauth proxy-basic proxy-ca-native proxy-cacert= proxy-capath= proxy-cert-type= proxy-cert= proxy-ciphers= proxy-crlfile= proxy-digest proxy-header= proxy-http2 proxy-insecure proxy-key-type= proxy-key= proxy-negotiate proxy-ntlm proxy-pass= proxy-pinnedpubkey= proxy-service-name= proxy-ssl-allow-beast proxy-ssl-auto-client-cert proxy-tls13-ciphers= proxy-tlsauthtype= proxy-tlspassword= proxy-tlsuser= proxy-tlsv1 proxy-user= proxy1.0= proxy= proxytunnel pubkey= quote= random-file= range= rate= raw referer= remote-header-name remote-name remote-name-all remote-time remove-on-error request-target= request= resolve= retry-all-errors retry-connrefused retry-delay= retry-max-time= retry= sasl-authzid= sasl-ir service-name= show-error silent skip-existing socks4= socks4a= socks5-basic socks5-gssapi socks5-gssapi-nec socks5-gssapi-service= socks5-hostname= socks5= speed-limit= speed-time= ssl ssl-allow-beast ssl-auto-client-cert ssl-no-revoke ssl-reqd ssl-revoke-best-effort sslv2 sslv3 stderr= styled-output suppress-connect-headers tcp-fastopen tcp-nodelay telnet-option= tftp-blksize= tftp-no-options time-cond= tls-earlydata tls-max= tls13-ciphers= tlsauthtype= tlspassword= tlsuser= tlsv1 tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 tr-encoding trace-ascii= trace-config= trace-time trace= unix-socket= upload-file= url-query= url= use-ascii user-agent= user= variable= verbose version vlan-priority= write-out= xattr"}, writes: "o output D dump-header c cookie-jar alt-svc etag-save hsts libcurl stderr trace trace-ascii", into: "output-dir"},
	"dd":         {},
	"dos2unix":   {operands: every},
	"ed":         {operands: every, hides: "what an editor does"},
	"emacs":      {operands: every, hides: "what an editor does"},
	"ex":         {operands: every, hides: "what an editor does"},
	"gofmt":      {},
	"gofumpt":    {},
	"bunzip2":    {operands: every, unless: "c stdout t test"},
	"bzip2":      {operands: every, unless: "c stdout t test"},
	"gunzip":     {operands: every, unless: "c stdout t test l list"},
	"gzip":       {operands: every, unless: "c stdout t test l list"},
	"unxz":       {operands: every, unless: "c stdout t test l list"},
	"xz":         {operands: every, unless: "c stdout t test l list"},
	"zstd":       {grammar: grammar{takes: "oD", longs: "output-dir-flat= output-dir-mirror="}, operands: every, writes: "o", into: "output-dir-flat output-dir-mirror", unless: "c stdout t test l list"},
	"goimports":  {},
	"iconv":      {grammar: grammar{takes: "fto", longs: "from-code= output= to-code="}, writes: "o output"},
	"install":    {grammar: grammar{takes: "gmoSt", longs: "backup compare directory group= mode= no-target-directory owner= preserve-timestamps strip strip-program= suffix= target-directory= verbose"}, runs: "strip-program"},
	"less":       {grammar: grammar{takes: "bhjkoOpPtTxyz", longs: "LOG-FILE= log-file="}, writes: "o O log-file LOG-FILE"},
	"link":       {},
	"ln":         {grammar: grammar{takes: "St", longs: "backup directory force interactive logical no-dereference no-target-directory physical relative suffix= symbolic target-directory= verbose"}},
	"man":        {grammar: grammar{takes: "CeLmMPrRS", may: "H", longs: "html pager="}, runs: "H html P pager"},
	"mkdir":      {grammar: grammar{takes: "m", longs: "mode= parents verbose"}, operands: folders},
	"mkfifo":     {grammar: grammar{takes: "m", longs: "mode="}, operands: every},
	"mv":         {grammar: grammar{takes: "St", longs: "backup exchange force interactive no-clobber no-copy no-target-directory strip-trailing-slashes suffix= target-directory= update verbose"}},
	"nano":       {operands: every, hides: "what an editor does"},
	"patch":      {},
	"prettier":   {},
	"rg":         {grammar: grammar{takes: "ABCdEefgjmMrtT", longs: "hostname-bin= pre="}, runs: "hostname-bin pre"},
	"rm":         {grammar: grammar{longs: "dir force interactive no-preserve-root one-file-system preserve-root recursive verbose"}},
	"rmdir":      {operands: folders},
	"rsync":      {grammar: grammar{takes: "BefMT", longs: "archive backup-dir= block-size= bwlimit= chmod= chown= compare-dest= copy-dest= delete dry-run exclude= exclude-from= files-from= filter= include= include-from= info= link-dest= log-file= log-file-format= max-size= min-size= modify-window= out-format= partial-dir= password-file= port= progress recursive remove-source-files rsh= rsync-path= suffix= temp-dir= timeout= verbose"}, writes: "log-file", into: "backup-dir partial-dir T temp-dir", runs: "e rsh rsync-path"},
	"scp":        {grammar: grammar{takes: "cDFiJlPoSX"}, runs: "S"},
	"sed":        {},
	"shred":      {grammar: grammar{takes: "ns", longs: "exact force iterations= random-source= remove size= verbose zero"}, operands: every},
	"shuf":       {grammar: grammar{takes: "ino", longs: "echo head-count= input-range= output= random-source= repeat zero-terminated"}, writes: "o output"},
	"sort":       {grammar: grammar{takes: "kotST", longs: "batch-size= buffer-size= check compress-program= debug dictionary-order field-separator= files0-from= general-numeric-sort human-numeric-sort ignore-case ignore-leading-blanks ignore-nonprinting key= merge month-sort numeric-sort output= parallel= random-sort random-source= reverse sort= stable temporary-directory= unique version-sort zero-terminated"}, writes: "o output", runs: "compress-program"},
	"split":      {grammar: grammar{takes: "abClnt", longs: "additional-suffix= bytes= elide-empty-files filter= hex-suffixes line-bytes= lines= number= numeric-suffixes separator= suffix-length= unbuffered verbose"}, runs: "filter"},
	"sponge":     {operands: every},
	"ssh-keygen": {grammar: grammar{takes: "abCDEFfGgIJjKMmNnOPRrSsTtUVWYZz"}, writes: "f"},
	"tar":        {grammar: grammar{takes: tarTakes, longs: "append bzip2 catenate checkpoint= checkpoint-action= concatenate create delete directory= exclude= exclude-from= extract file= files-from= get gzip index-file= info-script= list listed-incremental= new-volume-script= no-recursion one-top-level owner= remove-files rmt-command= rsh-command= strip-components= to-command= transform= update use-compress-program= verbose volno-file= wildcards xform= xz zstd"}, runs: "F I info-script new-volume-script rmt-command rsh-command to-command use-compress-program", writes: "g index-file listed-incremental volno-file"},
	"tee":        {operands: every},
	"touch":      {grammar: grammar{takes: "drt", longs: "date= no-create no-dereference reference= time="}, operands: every},
	"tree":       {grammar: grammar{takes: "HILoPT"}, writes: "o"},
	"truncate":   {grammar: grammar{takes: "rs", longs: "io-blocks no-create reference= size="}, operands: every},
	"uniq":       {grammar: grammar{takes: "fsw", longs: "all-repeated check-chars= count group ignore-case repeated skip-chars= skip-fields= unique zero-terminated"}, operands: second},
	"unix2dos":   {operands: every},
	"unlink":     {},
	"unzip":      {grammar: grammar{takes: "dIOPx"}, into: "d"},
	"vi":         {operands: every, hides: "what an editor does"},
	"vim":        {operands: every, hides: "what an editor does"},
	"wget":       {grammar: grammar{takes: "aABDeiIlOoPQRtTUwX", may: "n", longs: "accept-regex= accept= adjust-extension append-output= ask-password auth-no-challenge background backup-converted backups= base= bind-address= body-data= body-file= ca-certificate= ca-directory= certificate-type= certificate= ciphers= compression= config= connect-timeout= content-disposition content-on-error continue convert-file-only convert-links crl-file= cut-dirs= debug default-page= delete-after directory-prefix= dns-servers= dns-timeout= domains= exclude-directories= exclude-domains= execute= follow-ftp follow-tags= force-directories force-html ftp-password= ftp-user= ftps-clear-data-connection ftps-fallback-to-ftp ftps-implicit ftps-resume-ssl header= help hsts-file= http-password= http-user= https-only ignore-case ignore-length ignore-tags= include-directories= inet4-only inet6-only input-file= keep-session-cookies level= limit-rate= load-cookies= local-encoding= max-redirect method= mirror no-cache no-check-certificate no-clobber no-config no-cookies no-directories no-dns-cache no-glob no-host-directories no-hsts no-http-keep-alive no-if-modified-since no-iri no-netrc no-parent no-passive-ftp no-proxy no-remove-listing no-use-server-timestamps no-verbose no-warc-compression no-warc-digests no-warc-keep-log output-document= output-file= page-requisites password= pinnedpubkey= post-data= post-file= prefer-family= preserve-permissions private-key-type= private-key= progress= protocol-directories proxy-password= proxy-user= quiet quota= random-wait read-timeout= recursive referer= regex-type= reject-regex= reject= rejected-log= relative remote-encoding= report-speed= restrict-file-names= retr-symlinks retry-connrefused retry-on-http-error= save-cookies= save-headers secure-protocol= server-response show-progress span-hosts spider start-pos= strict-comments timeout= timestamping tries= trust-server-names unlink use-askpass= user-agent= user= verbose version wait= waitretry= warc-cdx warc-dedup= warc-file= warc-header= warc-max-size= warc-tempdir= xattr"}, writes: "a append-output O output-document o output-file rejected-log save-cookies warc-file", into: "P directory-prefix", runs: "use-askpass"},
	"xxd":        {grammar: grammar{takes: "cglnosR"}, operands: second},
	"yq":         {},
	"zip":        {grammar: grammar{takes: "bntTTix"}, operands: first},
}

const tarTakes = "bCfFgHIKLNTVX"

// writer reads the call of one of them; false for any other program.
func (a *analysis) writer(name string, args []value) bool {
	p, ok := programs[name]
	if rest, gnu := strings.CutPrefix(name, "g"); !ok && gnu {
		p, ok = programs[rest]
		name = rest
	}
	if !ok {
		return false
	}
	if name == "tar" {
		args = bundled(args)
	}
	options, ops := p.read(args)
	for _, o := range options {
		if !o.value.known && o.name == "" {
			a.hidden("an option of " + name)
		}
	}
	a.options(name, p, options)
	if p.hides != "" {
		a.hidden(p.hides)
	}
	all := func(list []value, w agent.Write) {
		for _, v := range list {
			a.writes(v, w)
		}
	}
	switch p.operands {
	case every:
		if p.unless == "" || !given(options, p.unless) {
			all(ops, agent.Write{})
			a.unpacked(ops)
		}
	case folders:
		all(ops, agent.Write{Folder: true})
		for _, v := range ops {
			if paths, _ := a.at(v); name == "mkdir" && len(paths) == 1 && len(a.made) < maxItems {
				a.made[path.Clean(paths[0])] = true
			}
		}
	case first:
		all(ops[:min(len(ops), 1)], agent.Write{})
	case second:
		if len(ops) > 1 {
			all(ops[1:2], agent.Write{})
		}
	}
	switch name {
	case "rm":
		all(ops, agent.Write{Tree: given(options, "r R recursive"), Gone: true})
	case "less":
		for _, v := range args {
			if i := strings.IndexByte(v.text, '!'); i > 0 && v.text[0] == '+' {
				a.given(v.from(i+1), "what less runs")
			}
		}
	case "zip":
		if i := slices.IndexFunc(args, func(v value) bool { return v.text == "-TT" }); i >= 0 && i+1 < len(args) {
			a.given(args[i+1], "what zip runs")
		}
	case "unlink":
		all(ops, agent.Write{Gone: true})
	case "chmod", "chown", "chgrp":
		a.modes(name, args)
	case "sed":
		a.sed(args)
	case "split":
		a.numbered(append(ops, literal("x"))[min(1, len(ops)):], "aa")
	case "csplit":
		prefixes, _ := has(options, "f prefix")
		a.numbered(append(prefixes, literal("xx")), "00")
	case "cp", "mv", "install", "ln", "link", "scp", "rsync":
		a.copies(name, options, ops)
	case "dd":
		for _, v := range args {
			if strings.HasPrefix(v.text, "of=") {
				a.writes(v.from(3), agent.Write{})
			}
		}
	case "curl", "wget":
		a.fetches(name, options, ops)
	case "gofmt", "gofumpt", "goimports", "prettier", "yq":
		if slices.ContainsFunc(args, func(v value) bool {
			return slices.Contains([]string{"-w", "--w", "-w=true", "--write", "-i", "--inplace", "--in-place"}, v.text)
		}) {
			all(ops, agent.Write{Tree: name != "yq"})
		}
	case "patch":
		a.patch(args)
	case "tar":
		a.archive(options, ops)
	case "unzip":
		if !given(options, "l p t v Z") {
			a.hidden("what an archive holds")
		}
	}
	return true
}

// options reads the options of a program that name what it writes and runs.
func (a *analysis) options(name string, p program, options []option) {
	files, _ := has(options, p.writes)
	for _, v := range files {
		if v.text != "-" {
			a.writes(v, agent.Write{})
		}
	}
	dirs, _ := has(options, p.into)
	for _, v := range dirs {
		a.writes(v, agent.Write{Folder: true})
	}
	runs, _ := has(options, p.runs)
	for _, v := range runs {
		a.given(v, "what "+name+" runs")
	}
}

// unpacked notes the names that files get when they are compressed, or not any more.
func (a *analysis) unpacked(ops []value) {
	for _, v := range ops {
		for _, end := range []string{".gz", ".bz2", ".xz", ".zst"} {
			if rest, ok := strings.CutSuffix(v.text, end); ok && v.known {
				a.writes(literal(rest), agent.Write{})
			}
		}
	}
}

// modes reads chmod, chown and chgrp.
func (a *analysis) modes(name string, args []value) {
	options, ops := grammar{longs: "changes dereference from= no-dereference no-preserve-root preserve-root quiet recursive reference= silent verbose"}.read(args)
	minus := name == "chmod" && slices.ContainsFunc(args, func(v value) bool { // a mode such as -x
		return len(v.text) > 1 && v.text[0] == '-' && strings.Trim(v.text[1:], "rwxXstugo,=+-") == "" && v.text != "--" && v.text != "-R"
	})
	if !given(options, "reference") && !minus && len(ops) > 0 {
		ops = ops[1:]
	}
	for _, v := range ops {
		a.writes(v, agent.Write{Tree: given(options, "R recursive")})
	}
}

// copies reads what puts files somewhere.
func (a *analysis) copies(name string, options []option, ops []value) {
	tree := given(options, "r R a recursive archive parents")
	target := value{}
	aims, aimed := has(options, "t target-directory")
	if name == "rsync" || name == "scp" || name == "link" {
		aimed = false
	}
	if name == "install" && given(options, "d directory") {
		for _, v := range ops {
			a.writes(v, agent.Write{Folder: true})
		}
		return
	}
	if aimed {
		target = aims[len(aims)-1]
	} else {
		if len(ops) == 1 && name == "ln" && ops[0].known {
			ops = append(ops, literal(path.Base(ops[0].text)))
		}
		if len(ops) < 2 {
			return
		}
		target, ops = ops[len(ops)-1], ops[:len(ops)-1]
	}
	if paths, _ := a.at(target); len(paths) == 1 && a.made[path.Clean(paths[0])] && !target.glob {
		target = literal(target.text + "/") // it comes into the folder
	}
	if strings.Contains(target.text, ":") && (name == "scp" || name == "rsync") {
		return // elsewhere
	}
	into := make([]string, 0, len(ops))
	for _, v := range ops {
		if !v.known || v.glob || v.found { // any name comes into it
			into, tree = nil, true
			break
		}
		into = append(into, path.Base(v.text))
	}
	if name == "rsync" || given(options, "parents") || name != "scp" && given(options, "T no-target-directory") { // of "a/" what is in it
		into = nil
	}
	a.writes(target, agent.Write{Into: into, Tree: tree || name == "rsync" || name == "mv"})
	if name == "mv" || given(options, "remove-source-files") {
		for _, v := range ops {
			a.writes(v, agent.Write{Tree: true})
		}
	}
	if name == "ln" || name == "link" || name == "cp" && given(options, "l link s symbolic-link") {
		symbolic := given(options, "s symbolic symbolic-link")
		for _, v := range ops {
			if symbolic && given(options, "r relative") || name == "cp" && symbolic {
				if paths, _ := a.at(v); len(paths) > 0 {
					v = literal(paths[0])
				}
			}
			a.linked(target, v, symbolic)
		}
	}
}

// fetches reads what curl and wget name their files by themselves.
func (a *analysis) fetches(name string, options []option, ops []value) {
	into := "."
	if dirs, ok := has(options, "P directory-prefix output-dir"); ok {
		into = dirs[len(dirs)-1].text
	}
	switch {
	case name == "curl" && given(options, "K config"), name == "wget" && given(options, "config e execute i input-file"):
		a.hidden("the name of what is written")
	case name == "curl" && !given(options, "O remote-name remote-name-all"), name == "wget" && given(options, "O output-document"):
		return
	case given(options, "J remote-header-name content-disposition"):
		a.hidden("the name of what is written")
	}
	for _, v := range ops {
		if b := path.Base(v.text); v.known && b != "." && b != "/" {
			a.writes(literal(path.Join(into, b)), agent.Write{})
		} else if !v.known {
			a.hidden("the name of what is written")
		}
	}
}

// patched notes the files that a patch changes which stands in the command; false where not all of it does.
func (a *analysis) patched(in *input) bool {
	if in == nil {
		return false
	}
	for _, v := range in.texts {
		for _, p := range agent.Patched(v.text) {
			a.writes(literal(p), agent.Write{})
		}
	}
	return in.known()
}

// patch reads patch(1).
func (a *analysis) patch(args []value) {
	options, ops := grammar{takes: "BDFYVdgioprxz", longs: "backup batch binary directory= dry-run forward fuzz= input= output= prefix= reject-file= reverse strip= suffix="}.read(args)
	a.within(func() {
		dirs, _ := has(options, "d directory")
		for _, v := range dirs {
			a.cd([]value{v})
			a.writes(literal("."), agent.Write{Folder: true})
		}
		files, _ := has(options, "o output r reject-file")
		for _, v := range append(files, ops[:min(len(ops), 1)]...) {
			a.writes(v, agent.Write{})
		}
		if len(ops) == 0 {
			a.hidden("what a patch changes")
		}
	})
}

// bundled are the arguments of tar, where the first is its letters without a dash: their arguments follow in their order.
func bundled(args []value) []value {
	if len(args) == 0 || !args[0].known || args[0].text == "" || args[0].text[0] == '-' {
		return args
	}
	out, rest := []value{}, args[1:]
	for _, c := range args[0].text {
		out = append(out, literal("-"+string(c)))
		if strings.ContainsRune(tarTakes, c) && len(rest) > 0 {
			out, rest = append(out, rest[0]), rest[1:]
		}
	}
	return append(out, rest...)
}

// archive reads tar(1).
func (a *analysis) archive(options []option, ops []value) {
	a.within(func() {
		files, _ := has(options, "f file")
		if given(options, "c create r append u update A catenate concatenate delete") {
			for _, v := range files {
				if v.text != "-" {
					a.writes(v, agent.Write{})
				}
			}
		}
		actions, _ := has(options, "checkpoint-action")
		for _, v := range actions {
			if text, ok := strings.CutPrefix(v.text, "exec="); ok || !v.known {
				a.given(value{text: text, known: v.known}, "what tar runs")
			}
		}
		dirs, _ := has(options, "C directory one-top-level")
		for _, v := range dirs {
			if v.text != "" {
				a.cd([]value{v})
			}
		}
		if given(options, "x extract get") {
			a.hidden("what an archive holds")
			a.writes(literal("."), agent.Write{Folder: true})
			for _, v := range ops {
				a.writes(v, agent.Write{})
			}
		}
		if given(options, "remove-files") {
			for _, v := range ops {
				a.writes(v, agent.Write{Tree: true})
			}
		}
	})
}
