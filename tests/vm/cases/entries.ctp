# What a function was given, shown when it returns: as it was on entry, also where the function has changed it; what it is
# by then; conditions on what it returns.
#$ despatch urgent
probe container("1111"):/app/traced.fn("despatch").return {
    printf("despatch: %d %s %d %d\n", $parcel->weight, @entry(user_string($parcel->to)), $urgent, $return)
}
probe container("1111"):/app/traced.fn("despatch").return if ($return < 0 && elapsed() > 0) {
    printf("urgent: %d %s\n", -$return, user_string(@cast(@entry($parcel), "struct parcel")->to))
}
