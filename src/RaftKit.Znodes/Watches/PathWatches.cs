namespace RaftKit.Znodes.Watches;

/// <summary>How a watcher watches a path; several at once are possible.</summary>
[Flags]
internal enum WatchModes : byte
{
    None = 0,
    Data = 1,
    Children = 2,
    Persistent = 4,
    Recursive = 8,
    OneShot = Data | Children,
}

/// <summary>Who watches one path. Most paths have one watcher, some have very many.</summary>
internal sealed class PathWatches(string path)
{
    private IWatcher? _first;
    private WatchModes _firstModes;
    private Dictionary<IWatcher, WatchModes>? _others;

    public string Path { get; } = path;

    public bool IsEmpty => _first is null && _others is null;

    /// <summary>All modes that anybody watches in; may name some that nobody does any more.</summary>
    public WatchModes Union { get; private set; }

    public WatchModes this[IWatcher watcher]
    {
        get => watcher.Equals(_first) ? _firstModes : _others is not null && _others.TryGetValue(watcher, out var modes)
            ? modes
            : WatchModes.None;
        set
        {
            Union |= value;
            if (watcher.Equals(_first))
            {
                _firstModes = value;
                if (value == WatchModes.None)
                    _first = null;
            }
            else if (value == WatchModes.None)
            {
                if (_others?.Remove(watcher) == true && _others.Count == 0)
                    _others = null;
            }
            else if (_first is null && _others?.ContainsKey(watcher) != true)
            {
                (_first, _firstModes) = (watcher, value);
            }
            else
            {
                (_others ??= [])[watcher] = value;
            }
        }
    }

    /// <summary>Adds those that watch in any of the modes, and ends their one-shot watches among <paramref name="spent"/>.</summary>
    public void Take(WatchModes any, WatchModes spent, List<(IWatcher Watcher, WatchModes Left)> into)
    {
        if ((Union & any) == 0)
            return;
        Union = WatchModes.None;
        if (_first is not null)
        {
            if ((_firstModes & any) != 0)
                into.Add((_first, _firstModes &= ~spent));
            Union |= _firstModes;
            if (_firstModes == WatchModes.None)
                _first = null;
        }
        if (_others is null)
            return;
        foreach (var (watcher, modes) in _others)
        {
            var left = modes;
            if ((modes & any) != 0)
            {
                left &= ~spent;
                into.Add((watcher, left));
                if (left == WatchModes.None)
                    _others.Remove(watcher);
                else if (left != modes)
                    _others[watcher] = left;
            }
            Union |= left;
        }
        if (_others.Count == 0)
            _others = null;
    }
}
