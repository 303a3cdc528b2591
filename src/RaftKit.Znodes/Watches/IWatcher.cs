namespace RaftKit.Znodes.Watches;

/// <summary>Hears events. Two that are equal are one: it is told of a change once, however often it watches.</summary>
internal interface IWatcher
{
    /// <summary>Whose it is: ends with it.</summary>
    object Owner { get; }

    /// <summary>On the loop: only hands over.</summary>
    void Notify(in WatchEvent watchEvent);
}
