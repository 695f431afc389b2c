package shell

// How the operands of a program name hosts.
const (
	silent  = iota // they do not
	urls           // each is a URL, or begins with a host
	copied         // [USER@]HOST:PATH, where there is a colon
	hosts          // each is [USER@]HOST
	oneHost        // the first is
	verbs          // one of the first is a word by which hosts are reached that are not named
	always         // so they are whatever the operands are
)

// A caller is a program that reaches hosts.
type caller struct {
	grammar
	how   int
	named string // options whose argument is a URL, or begins with a host
	lists string // options by which it takes URLs, or settings, out of a file, or goes where it is led
	verbs string
}

// httpie is how the programs that are written like it read their options.
var httpie = grammar{takes: "aAops", longs: "all auth= auth-type= body cert= cert-key= ciphers= check-status compress default-scheme= download follow form format-options= headers ignore-netrc ignore-stdin json max-redirects= multipart offline output= path-as-is pretty= print= proxy= quiet raw= response-charset= response-mime= session= session-read-only= sorted ssl= stream style= timeout= traceback unsorted verbose verify="}

// online are programs that are known to reach hosts. Of those that have a grammar among programs it is that.
var online = map[string]caller{
	"ab": {how: urls, grammar: grammar{takes: "ncktsbpuTvCHAPXewxyz"}}, "aria2c": {how: urls, lists: "i input-file", grammar: grammar{takes: "dijkosxTM", longs: "input-file= dir= out= all-proxy= header= user-agent="}}, "axel": {how: urls}, "chromium": {how: urls}, "curl": {how: urls, named: "x connect-to dns-servers doh-url expand-url ipfs-gateway preproxy proxy proxy1.0 resolve socks4 socks4a socks5 socks5-hostname url", lists: "K config"}, "elinks": {how: urls}, "firefox": {how: urls}, "google-chrome": {how: urls},
	"grpcurl": {how: urls, grammar: grammar{takes: "dH"}}, "http": {how: urls, grammar: httpie}, "httpie": {how: urls, grammar: httpie}, "https": {how: urls, grammar: httpie}, "links": {how: urls}, "lynx": {how: urls}, "w3m": {how: urls}, "websocat": {how: urls}, "wget": {how: urls, named: "B base dns-servers", lists: "H config i input-file span-hosts"}, "wscat": {how: urls, named: "c connect", grammar: grammar{takes: "cHPsxow", longs: "connect= header= subprotocol= proxy= execute= origin= auth= host="}}, "xh": {how: urls, grammar: httpie},
	"rsync": {how: copied}, "scp": {how: copied, lists: "F"}, "sftp": {how: oneHost, lists: "F", grammar: grammar{takes: "BbcDFiJloPRSsX", early: true}},
	"dig": {how: hosts, named: "q x", lists: "f", grammar: grammar{takes: "bcfkpqtxy"}}, "drill": {how: hosts}, "fping": {how: hosts}, "host": {how: hosts, grammar: grammar{takes: "cNRtTW"}}, "kdig": {how: hosts}, "mtr": {how: hosts}, "nslookup": {how: hosts}, "nmap": {how: hosts, lists: "i", grammar: grammar{takes: "peSDgmi"}}, "ping": {how: hosts, grammar: grammar{takes: "cWwiIsQtp"}}, "ping6": {how: hosts, grammar: grammar{takes: "cWwiIsQtp"}}, "ssh-keyscan": {how: hosts, grammar: grammar{takes: "fOpTt"}},
	"whois": {how: hosts, named: "h", grammar: grammar{takes: "hp"}}, "ftp": {how: oneHost}, "lftp": {how: oneHost, grammar: grammar{takes: "cefup"}}, "ncftp": {how: oneHost}, "mosh": {how: oneHost, grammar: grammar{early: true}}, "nc": {how: oneHost, named: "x", grammar: grammar{takes: "egGiIMmOPpqSsTVwXx"}}, "ncat": {how: oneHost, named: "proxy", grammar: grammar{takes: "cegGimopsw", longs: "exec= lua-exec= proxy= proxy-auth= proxy-type= sh-exec="}}, "netcat": {how: oneHost, named: "x", grammar: grammar{takes: "egGiIMmOPpqSsTVwXx"}},
	"ssh": {how: oneHost, lists: "F", grammar: grammar{takes: "BbcDEeFIiJLlmOoPpQRSWw", early: true}}, "autossh": {how: oneHost, lists: "F", grammar: grammar{takes: "BbcDEeFIiJLlMmOoPpQRSWw", early: true}}, "ssh-copy-id": {how: oneHost, grammar: grammar{takes: "iop"}}, "telnet": {how: oneHost, grammar: grammar{takes: "lnbXek"}}, "tftp": {how: oneHost}, "traceroute": {how: oneHost, grammar: grammar{takes: "fgimpqswz"}}, "tracepath": {how: oneHost},
	"mongosh": {how: urls, named: "host"}, "mysql": {how: silent, named: "h host", grammar: grammar{takes: "hPuD", longs: "host="}}, "mysqladmin": {how: silent, named: "h host", grammar: grammar{takes: "hPu", longs: "host="}}, "mysqldump": {how: silent, named: "h host", grammar: grammar{takes: "hPu", longs: "host="}}, "psql": {how: silent, named: "h host", grammar: grammar{takes: "hpUdcf", longs: "host="}},
	"createdb": {how: silent, named: "h host", grammar: grammar{takes: "hpU", longs: "host="}}, "dropdb": {how: silent, named: "h host", grammar: grammar{takes: "hpU", longs: "host="}}, "mongodump": {how: silent, named: "h host uri", grammar: grammar{takes: "h", longs: "host= uri="}}, "pg_restore": {how: silent, named: "h host", grammar: grammar{takes: "hpUdf", longs: "host="}}, "pg_dump": {how: silent, named: "h host", grammar: grammar{takes: "hpUdf", longs: "host="}}, "redis-cli": {how: silent, named: "h u", grammar: grammar{takes: "hpun"}},

	"apk": {how: verbs, verbs: "add fetch update upgrade"}, "apt": {how: verbs, verbs: "download full-upgrade install source update upgrade"}, "apt-get": {how: verbs, verbs: "dist-upgrade download install source update upgrade"}, "brew": {how: verbs, verbs: "fetch install outdated search tap update upgrade"},
	"bun": {how: verbs, verbs: "a add create i install outdated publish update upgrade x"}, "bundle": {how: verbs, verbs: "add install lock outdated update"}, "cargo": {how: verbs, verbs: "add fetch install login publish search update"}, "composer": {how: verbs, verbs: "create-project install outdated require update"},
	"conda": {how: verbs, verbs: "create install search update"}, "deno": {how: verbs, verbs: "add cache install upgrade"}, "dnf": {how: verbs, verbs: "download install search update upgrade"}, "docker": {how: verbs, named: "H host", grammar: grammar{takes: "Hcl", longs: "config= context= host= log-level="}, verbs: "build buildx login pull push run search"}, "flutter": {how: verbs, verbs: "pub upgrade"},
	"gem": {how: verbs, verbs: "fetch install push search update"}, "mamba": {how: verbs, verbs: "create install search update"}, "npm": {how: verbs, verbs: "add audit ci cit clean-install create exec fund i ic in info init ins inst install install-ci-test install-test isntall it login outdated ping publish search show up update upgrade v view whoami x"},
	"pip": {how: verbs, verbs: "download index install search wheel"}, "pipenv": {how: verbs, verbs: "install lock sync update"}, "pnpm": {how: verbs, verbs: "add audit create dlx fetch i import info install outdated publish up update upgrade view"}, "podman": {how: verbs, verbs: "build login pull push run search"},
	"poetry": {how: verbs, verbs: "add install lock publish search update"}, "uv": {how: verbs, verbs: "add lock pip publish run sync tool"}, "yarn": {how: verbs, verbs: "add audit create dlx info install npm outdated publish up upgrade"}, "yum": {how: verbs, verbs: "install update upgrade"},
	"aws": {how: always}, "az": {how: always}, "bunx": {how: always}, "flyctl": {how: always}, "gcloud": {how: always}, "glab": {how: always}, "gsutil": {how: always}, "heroku": {how: always}, "netlify": {how: always}, "npx": {how: always}, "oci": {how: always}, "pipx": {how: always}, "s3cmd": {how: always},
	"supabase": {how: always}, "uvx": {how: always}, "vercel": {how: always}, "wrangler": {how: always}, "youtube-dl": {how: urls}, "yt-dlp": {how: urls},
}

// plain are options with which a program tells of itself.
var plain = []string{"--help", "--version", "-h", "-V", "-v", "help", "version"}
