# Ends the server process of the session that this runs in, as a cable that is pulled does.
process=$$
until [ "$(ps -o comm= -p $process | cut -c1-4)" = sshd ]; do
    process=$(ps -o ppid= -p $process | tr -d " ")
    [ "$process" -gt 1 ] || exit 1
done
kill "$process"
sleep 60
