#!/bin/sh
# What the control card's DHCP client does with its lease: an address, and no route, since nothing lies behind it.
case $1 in
    bound | renew) ip address replace "$ip/${mask:-24}" dev "$interface"; echo "$ip" >/run/address ;;
esac
